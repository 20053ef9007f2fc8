"""11. What a denoiser learns: the bound of a diffusion, term by term

The question. A diffusion model is trained by showing it noisy points and asking which noise is in
them. Why does that make it a model of the data? How low can that loss go, and what is lost where?

You will derive the bound on -ln p(x_0) as a sum of T + 1 terms, and compute each of them; see one
term written in three ways that are equal to rounding; translate between ε, x_0, score and v; find
the floor below which no denoiser can go; meet the entropy ln 2 as the area under a curve; and train
a denoiser down to its floor.

You need: the forward process (lesson 10), Kullback-Leibler (00), the ELBO (03).
Papers: Ho, Jain and Abbeel 2020, section 3; Kingma et al. 2021; Salimans and Ho 2022; Vincent 2011;
Efron 2011 on Tweedie's formula; Guo, Shamai and Verdú 2005 on information and estimation.

Notation: t = 1 .. T, ᾱ_0 = 1, SNR = ᾱ/(1 - ᾱ), x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε. A hat is a guess made
from x_t. All logarithms are natural: nats.
"""

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
from lesson import FAKE, LEARNED, REAL, THEORY, Lesson

import minigen as mg
from minigen import optim
from minigen.densities import Gaussian, GaussianMixture
from minigen.divergences import entropy, kl
from minigen.ema import EMA
from minigen.models.denoiser import MLPDenoiser
from minigen.models.diffusion import (bound_term, bound_weights, eps_from_score, eps_from_v,
                                      eps_from_x0, posterior_mean, prior_kl, q_sample,
                                      score_from_eps, simple_loss, v_from_eps, x0_from_eps)
from minigen.models.mixture_denoiser import MixtureDenoiser
from minigen.models.schedule import linear_schedule
from minigen.quadrature import integrate
from minigen.training import minimise, train

lesson = Lesson("11_diffusion_loss", __doc__)
rng = lesson.rng

schedule = linear_schedule(100)
T = schedule.T
EVERY = np.arange(1, T + 1)
alpha_bar, signal, noise = schedule.alpha_bar, schedule.signal, schedule.noise


def column(values):
    """Numbers as points (n, 1), float64."""
    return mg.Tensor(np.reshape(np.asarray(values, dtype=np.float64), (-1, 1)))


def flat(tensor):
    return tensor.numpy().ravel()


# %%
lesson.step("""
    1. The bound, term by term
    The model: x_T ~ N(0, 1), then p(x_{t-1}|x_t) = N(μ_t(x_t), σ_t²), down to x_0.
    Claim.  -ln p(x_0) <= E_q[L_T + L_{T-1} + ... + L_1 + L_0],  where
      L_T     = KL(q(x_T|x_0) || N(0, 1)),
      L_{t-1} = KL(q(x_{t-1}|x_t, x_0) || p(x_{t-1}|x_t))   for t = 2 .. T,
      L_0     = -ln p(x_0|x_1).
      1. p(x_0) = ∫ p(x_0:T) dx_1:T = E_q[p(x_0:T)/q(x_1:T|x_0)], and -ln is convex:
         -ln p(x_0) <= E_q[-ln p(x_0:T)/q(x_1:T|x_0)]. It is the ELBO of lesson 03: x_1:T is the
         code, and q, which nobody trains, the encoder.
      2. q(x_t|x_{t-1}) = q(x_{t-1}|x_t, x_0) q(x_t|x_0)/q(x_{t-1}|x_0), by Bayes. In the product
         over t the fractions cancel: q(x_1:T|x_0) = q(x_T|x_0) Π_{t>=2} q(x_{t-1}|x_t, x_0).
      3. Now each factor of p stands over one of q. Sort them: the claim.
      4. Averaged over the data, with entropy H, the bound exceeds H by KL(q(x_0:T) || p(x_0:T)). By
         the chain rule, backwards, that is KL(q(x_T)||N(0, 1)) + Σ_t E KL(q(x_{t-1}|x_t)||p(..)).
    For data N(0, s²) all of this is Gaussian. The best μ_t is the mean of q(x_{t-1}|x_t), whose
    variance is s_t² = v_{t-1} - α_t v_{t-1}²/v_t, with v_t = ᾱ_t s² + 1 - ᾱ_t. So step 4 says
      bound = H + KL(N(0, v_T)||N(0, 1)) + Σ_t 1/2 [s_t²/σ_t² - 1 - ln(s_t²/σ_t²)].
      5. s_t² is β_t for s = 1 and β̃_t for s = 0, a single point: the two choices of Ho et al. are
         the two ends. For s = .5, σ² = β̃ costs the bound 1.25 nats, 1.23 of them by t = 10.
    The terms themselves are computed by the loss's own code, each averaged exactly: it is quadratic
    in (x_0, ε), so that the four points (±s, ±1) have its mean.
""")


def variance_kl(ratio):
    """KL between Gaussians of one mean; ratio: the first's variance over the second's."""
    return (ratio - 1 - np.log(ratio)) / 2


def gaussian_terms(s, variance):
    """E[L_0], ..., E[L_{T-1}], E[L_T] for data N(0, s²) and its exact denoiser: (T + 1,)."""
    eps_star = MixtureDenoiser(GaussianMixture([1.0], [Gaussian(0, s)]), schedule)
    x0, eps = column(np.tile([s, s, -s, -s], T)), column(np.tile([1, -1, 1, -1], T))
    terms = bound_term(eps_star, schedule, x0, EVERY.repeat(4), eps, variance)
    last = prior_kl(schedule, column([s, -s])).numpy().mean()
    return np.append(terms.numpy().reshape(T, 4).mean(axis=1), last)


def step_variances(s):
    """s_t² of q(x_{t-1}|x_t), entry 0 unused."""
    v = alpha_bar * s**2 + 1 - alpha_bar
    return np.append(1.0, v[:-1] - schedule.alpha[1:] * v[:-1] ** 2 / v[1:])


def sampled_variance(s, variance):
    """The variance of x_0 that p generates, from N(0, 1) down: each step is linear in x_t."""
    v = alpha_bar * s**2 + 1 - alpha_bar
    generated = 1.0
    for t in range(T, 0, -1):
        generated = schedule.alpha[t] * (v[t - 1] / v[t]) ** 2 * generated + variance[t]
    return generated


def h_gaussian(s):
    return math.log(2 * math.pi * math.e * s**2) / 2


small = schedule.beta_tilde.copy()
small[1] = schedule.beta[1]  # of L_0, which needs a variance: β̃_1 is 0
choices = {"σ² = β": schedule.beta, "σ² = β̃": small, "σ² = s_t²": step_variances(0.5)}
lesson.say(f"data N(0, .5²): H = {h_gaussian(0.5):.6f} nats")
for name, variance in choices.items():
    terms = gaussian_terms(0.5, variance)
    v_T = alpha_bar[-1] * 0.25 + 1 - alpha_bar[-1]
    want = (h_gaussian(0.5) + variance_kl(v_T)
            + variance_kl(step_variances(0.5)[1:] / variance[1:]).sum())
    made = sampled_variance(0.5, variance)
    true = (math.log(2 * math.pi * made) + 0.25 / made) / 2
    lesson.say(f"{name:9}  bound {terms.sum():.6f}   E[-ln p] {true:.6f}   L_0 {terms[0]:.3f}   "
               f"L_1 {terms[1]:.3f}   L_99 {terms[-2]:.1e}   L_T {terms[-1]:.1e}")
    lesson.check(f"{name}: the sum of all terms", terms.sum(), want)
    lesson.check(f"{name}: E[-ln p] over the bound", max(0.0, true - terms.sum()), 0.0)
    lesson.check(f"{name}: H over E[-ln p]", max(0.0, h_gaussian(0.5) - true), 0.0)
lesson.check("σ² = s_t²: bound - H, all that L_T's start leaves", terms.sum() - h_gaussian(0.5),
             variance_kl(v_T))
lesson.check("s_t² is β_t for s = 1", step_variances(1.0)[1:], schedule.beta[1:])
lesson.check("s_t² is β̃_t for s → 0", step_variances(1e-9)[1:], schedule.beta_tilde[1:])
lesson.check("data N(0, 1), σ² = β: the bound is the entropy",
             gaussian_terms(1.0, schedule.beta).sum(), h_gaussian(1.0))
lesson.check("data N(0, 1), σ² = β̃: what the bound loses",
             gaussian_terms(1.0, small).sum() - h_gaussian(1.0),
             variance_kl(schedule.beta[2:] / schedule.beta_tilde[2:]).sum())

# %%
lesson.step("""
    2. L_T has no parameters
    Claim.  L_T = 1/2 Σ [ᾱ_T x_0² - ᾱ_T - ln(1 - ᾱ_T)], a sum over the numbers of x_0.
      1. KL(N(m, v)||N(0, 1)) = 1/2 [v + m² - 1 - ln v], with m = √ᾱ_T x_0 and v = 1 - ᾱ_T.
      2. No network is in it. It says whether T was long enough (lesson 10), and that is all.
""")
x0 = np.array([0.3, -1.2, 5.0])
by_quadrature = sum(kl(Gaussian(signal[-1] * x, noise[-1]), Gaussian(0, 1)).value for x in x0)
lesson.check("L_T of a point of three numbers: three integrals", by_quadrature,
             prior_kl(schedule, mg.Tensor(x0.reshape(1, 3))).item(), "quadrature", 1e-8)

# %%
lesson.step("""
    3. One term in three ways
    Claim. With σ² = β̃,  L_{t-1} = |μ̃ - μ|²/(2β̃_t)                               (the means)
                                 = β_t²/(2β̃_t α_t (1 - ᾱ_t)) |ε - ε̂|²            (the noise)
                                 = 1/2 (SNR_{t-1} - SNR_t) |x_0 - x̂_0|².         (the data)
      1. Two Gaussians of one variance: their KL is the squared distance of the means over 2σ².
      2. μ is built like μ̃ (lesson 10), with x̂_0 for x_0. So μ̃ - μ = √ᾱ_{t-1} β_t/(1 - ᾱ_t)
         (x_0 - x̂_0): to guess the mean, the data or the noise is the same task.
      3. x_0 = (x_t - √(1 - ᾱ) ε)/√ᾱ, so |x_0 - x̂_0|² = |ε - ε̂|²/SNR. That turns the second line
         into the third, for with β̃ and β_t written out in ᾱ the factor is
         1/2 (ᾱ_{t-1} - ᾱ_t)/((1 - ᾱ_{t-1})(1 - ᾱ_t)), half a difference of two SNRs.
    Below, a guess that is wrong on purpose; the KL itself by quadrature.
""")
rows = np.array([2, 5, 20, 60, 100])
x0, eps = column([5, -5, 5, -5, 5]), column([0.3, -1.1, 0.8, 1.9, -0.6])
x_t = q_sample(schedule, x0, rows, eps)
eps_hat = 0.7 * eps + 0.2
x0_hat = x0_from_eps(schedule, x_t, rows, eps_hat)
mu_q = flat(posterior_mean(schedule, x0, x_t, rows))
mu_p = flat(posterior_mean(schedule, x0_hat, x_t, rows))
deviations = np.sqrt(schedule.beta_tilde[rows])
by_quadrature = [kl(Gaussian(a, sd), Gaussian(b, sd)).value
                 for a, b, sd in zip(mu_q, mu_p, deviations)]
by_means = (mu_q - mu_p) ** 2 / (2 * deviations**2)
by_noise = bound_term(lambda x, t: eps_hat, schedule, x0, rows, eps, schedule.beta_tilde).numpy()
halves = (schedule.snr[rows - 1] - schedule.snr[rows]) / 2
by_data = halves * flat(x0 - x0_hat) ** 2
for t, k, a, b, c in zip(rows, by_quadrature, by_means, by_noise, by_data):
    lesson.say(f"t = {t:3}: KL {k:.9f}   means {a:.9f}   noise {b:.9f}   data {c:.9f}")
lesson.check("L_{t-1} by the noise = by the data", by_noise, by_data)
lesson.check("L_{t-1} by the noise = by the means", by_noise, by_means)
lesson.check("L_{t-1} by the noise = KL by quadrature", by_quadrature, by_noise, "quadrature", 1e-8)

# %%
lesson.step("""
    4. L_simple: the same errors, other weights
    Ho et al. drop the weight of |ε - ε̂|² and average over all t. Is that still a bound?
      1. The weight is w_t = 1/2 (SNR_{t-1}/SNR_t - 1), for σ² = β̃. It is largest at t = 2, falls,
         and late follows β_t/(2α_t): the bound cares for the first steps, the last bits of x_0.
      2. With weight 1, L_simple turns away from them towards the large t, where it is decided
         *what* a sample shows. It is no bound, and likelihoods get worse; pictures get better.
      3. The optimum stays: the best ε̂ at each t is E[ε|x_t], whatever the weight. Weights matter
         for a network that cannot be perfect everywhere.
""")
weights = bound_weights(schedule, schedule.beta_tilde)
lesson.say("   ".join(f"w_{t} = {weights[t]:.4f}" for t in (2, 3, 10, 30, 100)))
lesson.check("w_t = 1/2 (SNR_{t-1}/SNR_t - 1), t >= 2", weights[2:],
             (schedule.snr[1:-1] / schedule.snr[2:] - 1) / 2)
share = weights[2:11].sum() / weights[2:].sum()
lesson.say(f"the steps 2 to 10 have {share:.0%} of the bound's weight, and 9% of L_simple's")
lesson.check("w_T over β_T/(2α_T)", 2 * schedule.alpha[-1] * weights[-1] / schedule.beta[-1], 1.0,
             tolerance=2 * alpha_bar[-2] / schedule.beta[-1])  # what the next term is of it, twice

# %%
lesson.step("""
    5. ε, x_0, score and v: four names for one guess
    Given x_t, each is a linear map of each other one:
      x̂_0 = (x_t - √(1 - ᾱ) ε̂)/√ᾱ,   score = -ε̂/√(1 - ᾱ),   v̂ = √ᾱ ε̂ - √(1 - ᾱ) x̂_0.
      1. The point (√ᾱ, √(1 - ᾱ)) lies on a circle. x_t is the pair (x_0, ε) seen in that direction,
         v seen at a right angle to it. So ε = √ᾱ v + √(1 - ᾱ) x_t and x_0 = √ᾱ x_t - √(1 - ᾱ) v.
      2. A network may give any of them. What differs is the weight that a squared error has:
         |ε - ε̂|² = SNR |x_0 - x̂_0|² = (1 - ᾱ) |score error|² = ᾱ |v - v̂|².
      3. To predict ε at t near T is easy, and worthless: dividing by √ᾱ blows the error up. To
         predict x_0 at small t is. v is x_0 (but for the sign) at T and ε at 0: never worthless.
""")
v, v_hat = v_from_eps(schedule, x_t, rows, eps), v_from_eps(schedule, x_t, rows, eps_hat)
score = score_from_eps(schedule, x_t, rows, eps)
lesson.check("ε → x_0 is the x_0 that was noised", x0_from_eps(schedule, x_t, rows, eps), x0)
lesson.check("ε → x_0 → ε", eps_from_x0(schedule, x_t, rows, x0), eps)
lesson.check("ε → score → ε", eps_from_score(schedule, x_t, rows, score), eps)
lesson.check("ε → v → ε", eps_from_v(schedule, x_t, rows, v), eps)
lesson.check("v = √ᾱ ε - √(1 - ᾱ) x_0", flat(v), signal[rows] * flat(eps) - noise[rows] * flat(x0))
lesson.check("the turn: √ᾱ x_t - √(1 - ᾱ) v = x_0",
             signal[rows] * flat(x_t) - noise[rows] * flat(v), flat(x0))
squares = flat(eps - eps_hat) ** 2
lesson.check("|ε error|² = SNR |x_0 error|²", schedule.snr[rows] * flat(x0 - x0_hat) ** 2, squares)
lesson.check("|ε error|² = ᾱ |v error|²", alpha_bar[rows] * flat(v - v_hat) ** 2, squares)
lesson.check("|ε error|² = (1 - ᾱ) |score error|²", noise[rows] ** 2 * flat(
    score - score_from_eps(schedule, x_t, rows, eps_hat)) ** 2, squares)

# %%
lesson.step("""
    6. Tweedie: the best guess of the noise is the slope of the density
    Claim.  ε* = E[ε|x_t] = -√(1 - ᾱ) d/dx ln p_t(x_t),  whatever the data are.
      1. p_t(x) = E_{x_0}[N(x; √ᾱ x_0, 1 - ᾱ)]. Differentiate under the mean:
         p_t'(x) = E_{x_0}[-(x - √ᾱ x_0)/(1 - ᾱ) N(..)] = -p_t(x) E[ε|x_t = x]/√(1 - ᾱ).
      2. The same for the data:  E[x_0|x_t] = (x_t + (1 - ᾱ) d/dx ln p_t)/√ᾱ.
      3. Data ±5: p_t ∝ e^(-(x - c)²/2v) + e^(-(x + c)²/2v) with c = 5√ᾱ and v = 1 - ᾱ. The slope of
         its logarithm is (-x + c tanh(c x/v))/v, so  E[x_0|x_t] = 5 tanh(5√ᾱ x_t/(1 - ᾱ)).
    The best guess at x_t = 0 is 0: no data point, but the mean of the two that it may have been.
    The third line of checks is for data U(-1, 1), where E[x_0|x_t] is an integral over x_0.
""")
five = GaussianMixture([0.5, 0.5], [Gaussian(-5, 1e-9), Gaussian(5, 1e-9)])
eps_five = MixtureDenoiser(five, schedule)
points = np.linspace(-6, 6, 25)
for t in (10, 50, 90):
    x = mg.Tensor(points.reshape(-1, 1), requires_grad=True)
    slope, = mg.grad(eps_five.log_prob(x, t).sum(), x)
    found = eps_five(x, t).detach()
    lesson.check(f"±5, t = {t}: ε* = -√(1 - ᾱ) d ln p_t", found, -noise[t] * slope.numpy())
    lesson.check(f"±5, t = {t}: E[x_0|x_t] = 5 tanh(..)",
                 flat(x0_from_eps(schedule, x.detach(), t, found)),
                 5 * np.tanh(5 * signal[t] * points / noise[t] ** 2))


def mean_of_uniform(x, t):
    """E[x_0|x_t = x] for the data U(-1, 1): two integrals over x_0."""
    top, bottom = (integrate(lambda u: u**k * Gaussian(0, noise[t]).pdf(x - signal[t] * u), -1, 1)
                   for k in (1, 0))
    return top.value / bottom.value


def slope_of_uniform(x, t):
    """d/dx ln p_t for the same data: p_t ∝ Φ(high) - Φ(low)."""
    high, low = (x + signal[t]) / noise[t], (x - signal[t]) / noise[t]
    law = Gaussian(0, 1)
    return (law.pdf(high) - law.pdf(low)) / (law.cdf(high) - law.cdf(low)) / noise[t]


t = 40
for x in (-0.9, 0.2, 2.5):
    lesson.check(f"U(-1, 1), x_t = {x}: Tweedie's E[x_0|x_t]",
                 (x + noise[t] ** 2 * slope_of_uniform(x, t)) / signal[t], mean_of_uniform(x, t),
                 "quadrature", 1e-8)

# %%
lesson.step("""
    7. The floor: the loss must not reach 0
    x_t does not tell which noise is in it. What is left is E Var(ε|x_t), the floor.
      1. For any guess:  E(ε - ε̂)² = E Var(ε|x_t) + E(ε* - ε̂)². The floor, and what the network
         could still learn.
      2. Data N(0, s²): ε and x_t are jointly Gaussian with covariance √(1 - ᾱ), so the variance
         left is 1 - (1 - ᾱ)/v_t = ᾱ s²/(ᾱ s² + 1 - ᾱ).
      3. For any data E Var(ε|x_t) = 1 - E ε*², for E ε² = 1.
      4. It is nearly 1 at t = 1, where the noise is drowned in the data, and nearly 0 at T, where
         x_t *is* the noise. A loss that falls to 0 says that something leaks: x_0 or ε.
""")
for s in (0.5, 2.0):
    eps_star = MixtureDenoiser(GaussianMixture([1.0], [Gaussian(0, s)]), schedule)
    floor = [simple_loss(eps_star, schedule, column([s, s]), int(t), column([1, -1])).item()
             for t in EVERY]
    lesson.check(f"N(0, {s}²): the loss of ε* = ᾱs²/(ᾱs² + 1 - ᾱ) at every t", floor,
                 (alpha_bar * s**2 / (alpha_bar * s**2 + 1 - alpha_bar))[1:])
    lesson.check(f"N(0, {s}²): the floor of L_simple", simple_loss(
        eps_star, schedule, column(np.full(2 * T, s)), np.tile(EVERY, 2),
        column(np.repeat([1, -1], T))), np.mean(floor))


def law_at(mixture, t):
    """p_t: the law of x_t for x_0 from the mixture."""
    return GaussianMixture(mixture.weights, [
        Gaussian(signal[t] * p.mean, math.sqrt(alpha_bar[t] * p.std**2 + noise[t] ** 2))
        for p in mixture.components])


def floor_at(mixture, t):
    """E Var(ε|x_t) = 1 - (1 - ᾱ) E[score²], by quadrature."""
    law = law_at(mixture, t)
    squared = integrate(lambda x: law.pdf(x) * law.score(x) ** 2, *law.support(), law.breakpoints())
    return 1 - noise[t] ** 2 * squared.value


n, t = 20_000, 50
x0, eps = column(5 * rng.choice([-1, 1], n)), mg.randn(n, 1, dtype="float64")
squares = flat(eps - eps_five(q_sample(schedule, x0, t, eps), t)) ** 2
lesson.check("±5, t = 50: the loss of ε* = 1 - E[ε*²]", squares.mean(), floor_at(five, t),
             "monte-carlo", n=n, standard_error=squares.std() / math.sqrt(n))

# %%
lesson.step("""
    8. Denoising is score matching
    Explicit: E(s(x_t) - d/dx ln p_t)² asks for the score of p_t, which nobody knows. Denoising:
    E(s(x_t) + ε/√(1 - ᾱ))² asks for the slope of q(x_t|x_0), which was drawn.
    Claim (Vincent 2011). They differ by a constant, whatever s: by E Var(ε|x_t)/(1 - ᾱ).
      1. -ε/√(1 - ᾱ) has the mean d/dx ln p_t, given x_t: that is Tweedie.
      2. For a target that is right on average, E(s - target)² = E(s - mean)² + E Var(target|x_t).
    So descent on the one is descent on the other. Below, three different s, at t = 50 of ±5.
""")
t = 50
law = law_at(five, t)
starts = [Gaussian(-5 * signal[t], noise[t]), Gaussian(5 * signal[t], noise[t])]
GUESSES = {"s = 0": lambda x: 0 * x, "s = -x": lambda x: -x, "s = sin x": np.sin}
for name, s in GUESSES.items():
    explicit = integrate(lambda x: law.pdf(x) * (s(x) - law.score(x)) ** 2, *law.support(),
                         law.breakpoints()).value
    denoising = sum(integrate(lambda x: q.pdf(x) / 2 * (s(x) - q.score(x)) ** 2, *law.support(),
                              law.breakpoints()).value for q in starts)
    lesson.check(f"{name}: denoising - explicit score matching", denoising - explicit,
                 floor_at(five, t) / noise[t] ** 2, "quadrature", 1e-8)

# %%
lesson.step("""
    9. The area under the error is information
    Claim (Guo, Shamai and Verdú 2005). With mmse(SNR) = E Var(x_0|x_t),
           I(x_0; x_t) = 1/2 ∫_0^SNR mmse dSNR.    For data ±1, fair, it tends to H = ln 2.
      1. Σ L_{t-1} = Σ 1/2 (SNR_{t-1} - SNR_t) mmse(SNR_t), by step 3: a sum of rectangles under the
         curve mmse. mmse falls as the SNR grows, and each rectangle has the height at the lower
         end: the sum is larger than the area.
      2. As T → ∞ it becomes the area, and its excess falls like 1/T. For the exact denoiser the
         bound becomes the entropy: nothing is lost but by the number of steps.
      3. ±1: E[x_0|x_t] = tanh(√ᾱ x_t/(1 - ᾱ)). With r = SNR, √ᾱ x_t/(1 - ᾱ) = r + √r z for x_0 = 1,
         so that mmse = 1 - E tanh²(r + √r z), z ~ N(0, 1).
""")
z = np.linspace(-9, 9, 721)
z_mass = Gaussian(0, 1).pdf(z) * (z[1] - z[0])  # a plain sum is exact for so smooth a function


def mmse_of_signs(r):
    """mmse for the data ±1 at the SNRs r, any shape."""
    r = np.asarray(r)[..., None]
    return 1 - (z_mass * np.tanh(r + np.sqrt(r) * z) ** 2).sum(-1)


area = integrate(mmse_of_signs, 0, 150, [0.1, 1, 5, 20])
lesson.check("±1: 1/2 ∫ mmse dSNR = ln 2", area.value / 2, math.log(2), "quadrature", 1e-9)


def rectangles(T):
    """Σ L_{t-1}, t >= 2, for the data ±1 and its exact denoiser."""
    snr = linear_schedule(T).snr[1:]
    return (-np.diff(snr) * mmse_of_signs(snr[1:])).sum() / 2


sums = {steps: rectangles(steps) for steps in (100, 1000, 10_000)}
lesson.say("   ".join(f"T = {steps:,}: Σ L = {value:.5f}" for steps, value in sums.items())
           + f"   ln 2 = {math.log(2):.5f}")
lesson.check("T = 10,000: Σ L, less a ninth of what it is below T = 1,000",
             sums[10_000] - (sums[1000] - sums[10_000]) / 9, math.log(2), "quadrature",
             1e-4)  # an excess c/T + d/T² leaves -d/10⁷, and d = 250 by these sums
signs = GaussianMixture([0.5, 0.5], [Gaussian(-1, 1e-9), Gaussian(1, 1e-9)])
lesson.check("mmse by the denoiser: floor/SNR, t = 20, 50, 80",
             [floor_at(signs, t) / schedule.snr[t] for t in (20, 50, 80)],
             mmse_of_signs(schedule.snr[[20, 50, 80]]), "quadrature", 1e-7)


def figure_of_information():
    """The mmse of ±1 over SNR with the bound's rectangles; and the terms of the bound by t."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.4), layout="constrained")
    few = linear_schedule(25)
    left.bar(few.snr[2:], mmse_of_signs(few.snr[2:]), few.snr[1:-1] - few.snr[2:], align="edge",
             color=FAKE, alpha=0.3, edgecolor=FAKE, lw=0.8,
             label=f"Σ L, T = 25: {rectangles(25):.3f} nats")
    r = np.linspace(0, 6, 400)
    left.fill_between(r, mmse_of_signs(r), color=REAL, alpha=0.35,
                      label=f"half the area: ln 2 = {math.log(2):.3f} nats")
    left.plot(r, mmse_of_signs(r), color=REAL)
    left.set(xlim=(0, 6), ylim=(0, 1), xlabel="SNR", ylabel="mmse")
    left.set_title("Data ±1: the bound's terms are rectangles")
    left.legend(loc="upper right")
    terms = gaussian_terms(0.5, schedule.beta)
    right.semilogy(EVERY[1:], terms[1:-1], color=THEORY, lw=2, label="the term $L_{t-1}$, σ² = β")
    right.plot(T, terms[-1], "*", color=THEORY, ms=9, label=f"$L_T$;  $L_0$ = {terms[0]:.3f}")
    for other, name, color in ((small, r"$\tilde\beta$", FAKE), (schedule.beta, r"$\beta$", REAL)):
        lost = variance_kl(step_variances(0.5)[2:] / other[2:])
        right.semilogy(EVERY[1:], lost, color=color, label=f"lost if σ² = {name}, not $s_t^2$")
    right.set(xlabel="t", ylabel="nats", ylim=(1e-10, 3))
    right.set_title("Data N(0, .5²), exact denoiser: the terms of the bound")
    right.legend(loc="upper right")
    lesson.figure(fig, "bound")


figure_of_information()

# %%
lesson.step("""
    10. Train it: down to the floor
    Data: .4 N(-1.6, .5²) + .6 N(1.8, .7²). The network: x_t and t in, 1 + 64 → 64 → 64 → 64 → 1.
      1. Each step draws points, steps t = 1 .. T and noises, and lowers L_simple.
      2. By step 7 the loss at t is the floor plus E(ε* - ε̂)². Both are integrals over p_t, and ε*
         is known: so we see what training leaves over, not what chance adds.
      3. An average of the weights of the last few hundred steps is judged as well (EMA).
      4. In nats: the bound loses Σ w_t E(ε* - ε̂)² by the network's errors, on top of what it loses
         to the entropy with ε* (step 1).
""")
two_modes = GaussianMixture([0.4, 0.6], [Gaussian(-1.6, 0.5), Gaussian(1.8, 0.7)])
eps_exact = MixtureDenoiser(two_modes, schedule)
floor = np.array([floor_at(two_modes, t) for t in EVERY])


def train_denoiser(steps, batch=256, lr=3e-3):
    """(network, its EMA, losses)."""
    net = MLPDenoiser(1, (64, 64, 64), generator=rng)
    average = EMA(net, 0.995)
    optimiser = optim.Adam(net.parameters(), lr)

    def step(i):
        optimiser.lr = lr * (1 - i / steps)
        x0 = mg.Tensor(two_modes.sample(batch, rng).reshape(-1, 1), dtype="float32")
        loss = simple_loss(net, schedule, x0, schedule.draw_steps(batch, rng), mg.randn(batch, 1))
        minimise(loss, optimiser, net)
        average.update()
        return {"L_simple": loss}

    history = train(step, steps, label="denoiser")
    return net, average, history.losses["L_simple"]


def excess_by_step(denoiser, nodes=200):
    """E(ε* - ε̂)² at t = 1 .. T: an integral over p_t, as a sum over its quantiles' nodes."""
    found = np.empty(T)
    for t in EVERY:
        law = law_at(two_modes, t)
        x = np.linspace(*law.support(), nodes)
        mass = law.pdf(x) / law.pdf(x).sum()
        with mg.no_grad():
            guess = flat(denoiser(mg.Tensor(x.reshape(-1, 1), dtype="float32"), int(t)))
        found[t - 1] = mass @ (guess - flat(eps_exact(column(x), int(t)))) ** 2
    return found


steps = 20_000 if lesson.full else 3000
net, average, losses = train_denoiser(steps)
of_net, of_average = excess_by_step(net), excess_by_step(average.model)
lesson.say(f"floor of L_simple {floor.mean():.4f}; the network is above it by {of_net.mean():.5f}, "
           f"the average of its weights by {of_average.mean():.5f}")
lesson.check("trained: L_simple above its floor", of_net.mean(), 0.0, "trained", 0.0015,
             why="12 runs: .00098, sd .00008; + 6 sd")
lesson.check("trained, averaged weights: above the floor", of_average.mean(), 0.0, "trained",
             0.0014, why="12 runs: .00088, sd .00008; + 6 sd")
lesson.check("trained: the worst step above its floor", of_average.max(), 0.0, "trained", 0.014,
             why="12 runs: .0054, sd .0014; + 6 sd")
late = losses[-500:]
lesson.check("trained: the loss seen in training = floor + excess", late.mean(),
             floor.mean() + of_net.mean(), "monte-carlo", n=500 * 256,
             standard_error=late.std() / math.sqrt(len(late)))
variance = schedule.beta
weights = bound_weights(schedule, variance)[1:]
level = math.log(2 * math.pi * variance[1]) / 2 + variance_kl(
    schedule.beta_tilde[2:] / variance[2:]).sum()
second_moment = two_modes.mean**2 + two_modes.std**2  # L_T asks for no more
start = prior_kl(schedule, column([math.sqrt(second_moment)])).item()
bound = weights @ floor + level + start
lost = weights @ of_average
h_data = entropy(two_modes).value
lesson.say(f"entropy {h_data:.4f} nats; bound with ε* {bound:.4f}; with the network "
           f"{bound + lost:.4f}, σ² = β")
lesson.check("bound with ε* below the entropy", max(0.0, h_data - bound), 0.0, "quadrature")
lesson.check("trained: nats that the network's errors cost", lost, 0.0, "trained", 0.019,
             why="12 runs: .0113, sd .0012; + 6 sd")


def figure_of_training():
    """The loss by t beside its floor; what is above it; and the loss along training."""
    fig, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    axes[0].axhline(1, color=FAKE, lw=1, ls=":")
    axes[0].text(T, 0.985, "a guess of 0", color=FAKE, ha="right", va="top")
    axes[0].plot(EVERY, floor + of_average, color=LEARNED, lw=3, alpha=0.6, label="trained network")
    axes[0].plot(EVERY, floor, color=THEORY, ls="--", lw=1.4, label="floor, $E\\,Var(ε|x_t)$")
    axes[0].set(xlabel="t", ylabel="$E(ε - \\hat ε)^2$", ylim=(0, 1.05))
    axes[0].set_title("The loss by step")
    axes[0].legend(loc="upper right", bbox_to_anchor=(1, 0.9))
    axes[1].semilogy(EVERY, of_net, color=LEARNED, alpha=0.4, label="last weights")
    axes[1].semilogy(EVERY, of_average, color=LEARNED, label="averaged weights")
    axes[1].set(xlabel="t", ylabel="$E(ε^* - \\hat ε)^2$")
    axes[1].set_title("What is above the floor")
    axes[1].legend(loc="upper right")
    smooth = losses.reshape(-1, 20).mean(axis=1)
    axes[2].plot(np.arange(10, steps, 20), smooth, color=LEARNED, lw=0.8)
    axes[2].axhline(floor.mean(), color=THEORY, ls="--", label=f"floor {floor.mean():.3f}")
    axes[2].set(xlabel="training step", ylabel="$L_{simple}$, means of 20", ylim=(0, None))
    axes[2].set_title("It does not go to 0")
    axes[2].legend(loc="lower left")
    lesson.figure(fig, "training")


figure_of_training()

# %%
lesson.step("""
    11. Exercises
      a. What is the floor of L_simple for data N(0, 1)? And for a single data point?
      b. A network that predicts x_0 is trained by plain (x_0 - x̂_0)². Which weight does that give
         to |ε - ε̂|²? Which errors does it not see, compared with L_simple?
      c. At which t is v just ε, and when -x_0? Where is v easiest to predict for data N(0, 1)?
      d. Somebody's loss falls to 1e-5 on the digits. What do you suspect?
    Answers
      a. The mean of ᾱ_t over t = 1 .. T: .27 with this schedule. And 0: then x_t tells the noise.
      b. 1/SNR. It is large at late t: compared with L_simple it hardly sees errors of ε at early t,
         the fine detail.
      c. v = ε where ᾱ = 1, and -x_0 where ᾱ = 0. For N(0, 1), x_0 and ε are alike, (x_t, v) is the
         pair (x_0, ε) turned, so v does not depend on x_t: its best guess is 0 and its floor 1, at
         every t. v is never easy, and that makes it a fair target.
      d. A leak (the network sees ε or x_0); a schedule with ᾱ ≈ 0 at nearly every t, where ε̂ = x_t
         is right; or it has learned a few training points by heart (lesson 19).
""")
ones, eps_unit = column(np.ones(2 * T)), column(np.repeat([1, -1], T))
eps_unit_star = MixtureDenoiser(GaussianMixture([1.0], [Gaussian(0, 1)]), schedule)
lesson.check("exercise a: the floor for N(0, 1) = the mean of ᾱ_t",
             simple_loss(eps_unit_star, schedule, ones, np.tile(EVERY, 2), eps_unit),
             alpha_bar[1:].mean())
one_point = MixtureDenoiser(GaussianMixture([1.0], [Gaussian(2.0, 1e-9)]), schedule)
lesson.check("exercise a: the floor for one point", simple_loss(
    one_point, schedule, 2.0 * ones, np.tile(EVERY, 2), eps_unit), 0.0)
x_t = q_sample(schedule, ones, np.tile(EVERY, 2), eps_unit)
guess = v_from_eps(schedule, x_t, np.tile(EVERY, 2), eps_unit_star(x_t, np.tile(EVERY, 2)))
lesson.check("exercise c: the best guess of v for N(0, 1)", guess, 0.0)
lesson.finish()
