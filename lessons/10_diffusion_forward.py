"""10. From data to noise: the forward process of a diffusion

The question. A diffusion model generates by undoing noise. So first: which noise, added how, so
that after T small steps nothing is left of the data, and each step can be undone by a Gaussian?

You will derive that T steps are one,  x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε,  and the law of a step back
when the start is known; check both by quadrature and by Monte Carlo; see why the number of steps
may not be changed without its betas; and watch two modes melt into one.

You need: Gaussians, Bayes' rule, Kullback-Leibler (lesson 00).
Papers: Sohl-Dickstein et al. 2015; Ho, Jain and Abbeel 2020, section 2; Nichol and Dhariwal 2021;
Feller 1949 on the reversal of diffusions; Lin et al. 2024 on the terminal SNR.

Notation: steps t = 1 .. T, and ᾱ_0 = 1: step 0 is the data. α_t = 1 - β_t, ᾱ_t = α_1 ... α_t. In
the code an array has T + 1 entries, so that alpha_bar[t] is ᾱ_t and alpha_bar[0] is 1.
"""

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
from lesson import FAKE, LEARNED, REAL, THEORY, Lesson

import minigen as mg
from minigen.densities import Gaussian, GaussianMixture
from minigen.divergences import kl
from minigen.models.diffusion import posterior_mean, prior_kl, q_sample, q_step
from minigen.models.schedule import Schedule, cosine_schedule, linear_schedule
from minigen.quadrature import integrate

lesson = Lesson("10_diffusion_forward", __doc__)
rng = lesson.rng

schedule = linear_schedule(100)
T = schedule.T
ONE, NIL = mg.ones(1, 1, dtype="float64"), mg.zeros(1, 1, dtype="float64")

# %%
lesson.step("""
    1. One step: shrink a little, add a little
    x_t = √α_t x_{t-1} + √β_t ε_t,  ε_t ~ N(0, 1),  α_t = 1 - β_t.
    Claim. A step keeps the variance 1, and t steps are one:  x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε.
      1. Var x_t = α_t Var x_{t-1} + β_t: if it was 1, it is α_t + β_t = 1 again.
      2. The weight of x_0 is a product:  √α_1 √α_2 ... √α_t = √ᾱ_t.
      3. The noises are independent Gaussians, so their sum is one, and variances add up: the
         variance of the noise follows  V_t = α_t V_{t-1} + β_t  with V_0 = 0.
      4. V_t = 1 - ᾱ_t solves that:  α_t (1 - ᾱ_{t-1}) + β_t = α_t - ᾱ_t + 1 - α_t = 1 - ᾱ_t.
    So no chain is ever run in training: x_t is one draw away from x_0, for any t.
""")
weight, variance, weights, variances = 1.0, 0.0, [], []
for t in range(1, T + 1):  # what a step does to a point without noise, and to noise alone
    weight = q_step(schedule, weight * ONE, t, NIL).item()
    variance = schedule.alpha[t] * variance + q_step(schedule, NIL, t, ONE).item() ** 2
    weights.append(q_sample(schedule, ONE, t, NIL).item() / weight)
    variances.append(q_sample(schedule, NIL, t, ONE).item() ** 2 / variance)
lesson.check("chain = marginal: weight of x_0, ratio at every t", weights, 1.0)
lesson.check("chain = marginal: variance, ratio at every t", variances, 1.0)
lesson.check("ᾱ_t = α_1 ... α_t, and ᾱ_0 = 1", schedule.alpha_bar,
             [math.prod(1 - schedule.beta[1:t + 1]) for t in range(T + 1)])
lesson.check("signal² + noise² = 1 at every t", schedule.signal**2 + schedule.noise**2, 1.0)

n = 20_000
x = mg.Tensor(np.full((n, 1), 5.0))
for t in range(1, T + 1):
    x = q_step(schedule, x, t, mg.randn(n, 1, dtype="float64"))
    if t in (10, 40, 100):
        points, left = x.numpy(), 1 - schedule.alpha_bar[t]
        lesson.check(f"the chain, run from 5 to t = {t}: mean", points.mean(),
                     5 * math.sqrt(schedule.alpha_bar[t]), "monte-carlo", n=n,
                     standard_error=math.sqrt(left / n))
        lesson.check(f"the chain, run from 5 to t = {t}: variance", points.var(), left,
                     "monte-carlo", n=n, standard_error=left * math.sqrt(2 / n))

# %%
lesson.step("""
    2. One step back, when the start is known
    Claim. q(x_{t-1}|x_t, x_0) = N(μ̃, β̃_t) with
           μ̃ = √ᾱ_{t-1} β_t/(1 - ᾱ_t) x_0 + √α_t (1 - ᾱ_{t-1})/(1 - ᾱ_t) x_t,
           β̃_t = (1 - ᾱ_{t-1})/(1 - ᾱ_t) β_t.
      1. Bayes: q(x_{t-1}|x_t, x_0) ∝ q(x_t|x_{t-1}) q(x_{t-1}|x_0). The chain forgets: given
         x_{t-1}, x_0 says no more about x_t.
      2. Both are Gaussians in x_{t-1}: precisions add,
         1/β̃ = α_t/β_t + 1/(1 - ᾱ_{t-1}) = (1 - ᾱ_t)/(β_t (1 - ᾱ_{t-1})).
      3. Their weighted centres give  μ̃ = β̃ [√α_t x_t/β_t + √ᾱ_{t-1} x_0/(1 - ᾱ_{t-1})].
      4. β̃_t < β_t: to know x_0 helps. At t = 1 it is 0, and μ̃ = x_0.
    The product is integrated below, without use of the claim. What it integrates to is q(x_t|x_0).
""")


def product(x_before, t, x_t, x0):
    """q(x_t|x_{t-1}) q(x_{t-1}|x_0) as a function of x_{t-1}."""
    step = Gaussian(0.0, math.sqrt(schedule.beta[t]))
    start = Gaussian(schedule.signal[t - 1] * x0, schedule.noise[t - 1])
    return step.pdf(x_t - math.sqrt(schedule.alpha[t]) * x_before) * start.pdf(x_before)


def moments_back(t, x_t, x0):
    """(mass, mean, variance) of that product, by quadrature around its peak."""
    rough = np.linspace(-30, 30, 60_001)
    peak = rough[product(rough, t, x_t, x0).argmax()]
    reach = 12 * math.sqrt(schedule.beta[t])
    mass, first, second = (
        integrate(lambda x: (x - peak) ** k * product(x, t, x_t, x0), peak - reach, peak + reach,
                  [peak]).value for k in range(3))
    return mass, peak + first / mass, second / mass - (first / mass) ** 2


steps = [2, 10, 50, 100]
cases = [(t, schedule.signal[t] * x0 + z * schedule.noise[t], x0)
         for t in steps for x0, z in ((-0.4, 1.3), (5.0, -2.0))]
found = np.array([moments_back(*case) for case in cases])
means = [posterior_mean(schedule, x0 * ONE, x_t * ONE, t).item() for t, x_t, x0 in cases]
lesson.check("step back: variance β̃_t over the quadrature's",
             [schedule.beta_tilde[t] for t, _, _ in cases] / found[:, 2], 1.0, "quadrature", 1e-7)
lesson.check("step back: mean μ̃ by quadrature", found[:, 1], means, "quadrature", 1e-8)
marginals = [Gaussian(schedule.signal[t] * x0, schedule.noise[t]).pdf(x_t) for t, x_t, x0 in cases]
lesson.check("the product's mass = q(x_t|x_0)", found[:, 0], marginals, "quadrature")
lesson.check("β̃_1: x_0 known, nothing is left", schedule.beta_tilde[1], 0.0)
lesson.check("μ̃ at t = 1 is x_0", posterior_mean(schedule, 5 * ONE, 4.9 * ONE, 1), 5.0)


def figure_of_posterior():
    """Two beliefs about x_{t-1}, and both together."""
    t, x_t, x0 = 15, 0.2, 1.0
    x = np.linspace(-0.6, 2.4, 600)
    root = math.sqrt(schedule.alpha[t])
    beliefs = [
        (Gaussian(schedule.signal[t - 1] * x0, schedule.noise[t - 1]).pdf(x), REAL,
         "from $x_0$:  $q(x_{t-1}|x_0)$"),
        (Gaussian(x_t / root, math.sqrt(schedule.beta[t]) / root).pdf(x), FAKE,
         "from $x_t$:  $q(x_t|x_{t-1})$"),
        (product(x, t, x_t, x0) / moments_back(t, x_t, x0)[0], THEORY, "both, by quadrature")]
    fig, ax = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
    for values, color, label in beliefs:
        ax.fill_between(x, values, color=color, alpha=0.15)
        ax.plot(x, values, color=color, label=label)
    mean = posterior_mean(schedule, x0 * ONE, x_t * ONE, t).item()
    formula = Gaussian(mean, math.sqrt(schedule.beta_tilde[t])).pdf(x)
    ax.plot(x[::12], formula[::12], "o", ms=3.5, color=LEARNED, label="N(μ̃, β̃)")
    ax.set(xlabel="$x_{t-1}$", ylabel="density", ylim=(0, None))
    ax.set_title(f"One step back from $x_{{{t}}}$ = {x_t}, when $x_0$ = {x0:g} is known")
    ax.legend(loc="upper right")
    lesson.figure(fig, "posterior")


figure_of_posterior()

# %%
lesson.step("""
    3. One step back, when the start is not known: why the steps are small
    The sampler does not know x_0. What it needs is q(x_{t-1}|x_t), an average of step 2 over all
    starts that x_t may have had, and that is no Gaussian. But:
    Claim (Feller 1949). As β → 0 it becomes one.
      1. Data ±5, halfway (ᾱ = 1/2), at x_t = 0: both starts are equally likely. So q(x_{t-1}|x_t)
         has two bumps of variance β̃ at ±d,  d = 5 √ᾱ_{t-1} β_t/(1 - ᾱ_t).
      2. d shrinks like β, their width only like √β: with m = d/√β̃, m² ≈ 50 β. Below m = 1 the two
         bumps are one.
      3. For a small m, what is not Gaussian is the fourth cumulant, -2m⁴ against a variance of
         1 + m². KL ≈ (fourth cumulant/variance²)²/48 = m⁸/(12 (1 + m²)⁴): in the end, a step four
         times as small is 256 times as Gaussian.
    So many small steps are not a matter of taste: with few, the Gaussian p(x_{t-1}|x_t) is wrong.
""")


def step_back_at_0(T):
    """KL of q(x_{t-1}|x_t = 0) to the Gaussian of its variance, and m², halfway through T steps."""
    cosine = cosine_schedule(T)
    t = np.argmin(abs(cosine.alpha_bar - 0.5))
    d = posterior_mean(cosine, 5 * ONE, NIL, int(t)).item()
    width = math.sqrt(cosine.beta_tilde[t])
    two_bumps = GaussianMixture([0.5, 0.5], [Gaussian(-d, width), Gaussian(d, width)])
    return kl(two_bumps, Gaussian(0.0, two_bumps.std)).value, d**2 / width**2


counts = (10, 40, 160, 640, 2560, 10_240)
not_gaussian, m2 = np.array([step_back_at_0(count) for count in counts]).T
for count, k, m in zip(counts, not_gaussian, np.sqrt(m2)):
    lesson.say(f"T = {count:6,}: bumps {m:6.2f} widths from the middle, "
               f"KL to a Gaussian {k:.2g} nats")
lesson.check("T = 2,560 and 10,240: KL over m⁸/(12 (1 + m²)⁴)",
             (not_gaussian / (m2**4 / (12 * (1 + m2) ** 4)))[-2:], 1.0, "quadrature", 0.03)
lesson.check("T = 10: two bumps far apart, KL = ln(√(1 + m²)) - ln 2", not_gaussian[0],
             math.log(1 + m2[0]) / 2 - math.log(2), "quadrature", 1e-3)

# %%
lesson.step("""
    4. Schedules: T is rescaled together with its betas
    The linear schedule of Ho et al. lets β_t rise from .0001 to .02, in T = 1000 steps.
      1. ln ᾱ_T = Σ ln(1 - β_t) = -Σ β_t - Σ β_t²/2 - ...: what counts is the sum of the betas. It
         is 1000 (.0001 + .02)/2 = 10.05: about e^-10.05 of the data's variance is left.
      2. With T = 100 steps and the same betas the sum is 1.005: ᾱ_T = .36. x_T is no noise at all,
         yet the sampler starts from noise. With betas times 1000/T the sum is 10.05 again.
      3. Then only the second term is left of T: T (-ln ᾱ_T - 10.05) → 1000² mean(β²)/2 = 67.0,
         where mean(β²) = (a² + ab + b²)/3 over the line from a = .0001 to b = .02.
      4. The cosine schedule says ᾱ itself as a function of t/T, and needs no rescaling.
    What goes wrong for data ±5: x_T has modes at ±5√ᾱ_T of width √(1 - ᾱ_T).
""")
unscaled = Schedule(np.linspace(1e-4, 0.02, 100))
long = linear_schedule(1000)
for name, s in (("T = 1000", long), ("T = 100, betas times 10", schedule),
                ("T = 100, betas as they are", unscaled),
                ("cosine, T = 100", cosine_schedule(100))):
    lesson.say(f"{name:27} ᾱ_T = {s.alpha_bar[-1]:8.2g}   terminal SNR = {s.snr[-1]:8.2g}   "
               f"modes at ±{5 * s.signal[-1]:.2g}, width {s.noise[-1]:.2g}")
lesson.check("betas rescaled: sum at T = 100, 250, 1000",
             [linear_schedule(steps).beta.sum() for steps in (100, 250, 1000)], 10.05)
lesson.check("betas rescaled: ln ᾱ_T by its series",
             [math.log(s.alpha_bar[-1]) for s in (schedule, long)],
             [-sum((s.beta**k / k).sum() for k in range(1, 40)) for s in (schedule, long)])
many = linear_schedule(100_000)
lesson.check("T (-ln ᾱ_T - 10.05) → 1000² mean(β²)/2",
             many.T * (-math.log(many.alpha_bar[-1]) - 10.05),
             1e6 * (1e-8 + 2e-6 + 4e-4) / 6, tolerance=0.02)  # the next term is 670/T, and rounding
lesson.check("betas not rescaled: sum at T = 100", unscaled.beta.sum(), 1.005)
lesson.check("cosine: ᾱ at t/T = 1/4, 1/2, 3/4, T = 100 and 1000",
             cosine_schedule(100).alpha_bar[[25, 50, 75]],
             cosine_schedule(1000).alpha_bar[[250, 500, 750]])

# %%
lesson.step("""
    5. Signal-to-noise: SNR_t = ᾱ_t/(1 - ᾱ_t)
      1. ᾱ = SNR/(1 + SNR): the SNR says all that a schedule says, on one scale for all schedules.
      2. It must fall from ∞ at t = 0, and end so low that x_T forgets x_0. How well it forgets is
         KL(q(x_T|x_0) || N(0, 1)) = 1/2 [ᾱ x_0² - ᾱ - ln(1 - ᾱ)] ≈ SNR_T x_0²/2: the term L_T of
         lesson 11, in nats. For ±5 it is .0003 nats after the linear schedule of 100 steps, and 4.6
         if its betas are not rescaled.
      3. It is never 0: these schedules stop at a terminal SNR > 0, so x_T has a trace of x_0 that a
         sampler starting from N(0, 1) does not have. Here it is harmless; for large images, whose
         mean survives in many pixels, it is not (Lin et al. 2024).
      4. "Noise" is relative to the data. With variance s² the ratio is s² SNR: ±5 is 25 times as
         loud as ±1. So data are scaled to a variance near 1 first, or they need a longer schedule.
""")
lesson.check("SNR: ᾱ = SNR/(1 + SNR)", schedule.snr[1:] / (1 + schedule.snr[1:]),
             schedule.alpha_bar[1:])
lesson.check("SNR: the largest rise from one step to the next",
             max(0.0, max(np.diff(s.snr[1:]).max() for s in (schedule, long, cosine_schedule(50)))),
             0.0)
five = 5 * ONE
for name, s in (("rescaled", schedule), ("not rescaled", unscaled)):
    law = Gaussian(5 * s.signal[-1], s.noise[-1])
    lesson.check(f"x_T from ±5, betas {name}: KL to N(0, 1)", kl(law, Gaussian(0, 1)),
                 prior_kl(s, five).item(), "quadrature", 1e-8)
lesson.check("terminal SNR: KL over SNR_T x_0²/2, T = 1000",
             prior_kl(long, five).item() / (long.snr[-1] * 25 / 2), 1.0,
             tolerance=2 * long.snr[-1])  # it is the first term of a series in SNR_T


def figure_of_schedules():
    """ᾱ and SNR of four schedules, over t/T."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    for name, s, style in (
            ("linear, T = 1000", long, {"color": REAL, "lw": 3.5, "alpha": 0.4}),
            ("linear, T = 100, betas times 10", schedule, {"color": REAL, "ls": "--"}),
            ("linear, T = 100, betas not rescaled", unscaled, {"color": FAKE}),
            ("cosine, T = 100", cosine_schedule(100), {"color": LEARNED})):
        share = np.arange(s.T + 1) / s.T
        left.plot(share, s.alpha_bar, label=name, **style)
        right.semilogy(share[1:], s.snr[1:], **style)
    right.axhline(1 / 25, color=THEORY, lw=0.8, ls=":")
    right.text(0.01, 0.03, "below: data ±5 have one mode", color=THEORY, va="top")
    left.set(xlabel="t/T", ylabel="$\\bar\\alpha_t$", ylim=(0, 1.02))
    right.set(xlabel="t/T", ylabel="SNR", ylim=(1e-7, 1e4))
    left.set_title("How much of the data's variance is left")
    right.set_title("Signal to noise")
    fig.legend(loc="outside lower center", ncols=2)
    lesson.figure(fig, "schedules")


figure_of_schedules()

# %%
lesson.step("""
    6. Two modes melt into one
    Data ±5, half and half. By step 1, x_t is a mixture of N(±5√ᾱ_t, 1 - ᾱ_t).
      1. The slope of its density at 0 is 0. The curvature there has the sign of 25 ᾱ - (1 - ᾱ):
         0 is a valley between two modes while 25 ᾱ > 1 - ᾱ, that is SNR > 1/25, and then the top.
      2. With unscaled betas at T = 100 SNR_T = .57: two modes to the end.
      3. Each step brings p_t nearer to N(0, 1): both go through the same channel, and that cannot
         make them easier to tell apart (data processing). KL(p_t||N(0, 1)) falls from ∞ to 6e-8.
""")


def law_at(s, t):
    """p_t for the data ±5: t >= 1."""
    centre, width = 5 * s.signal[t], s.noise[t]
    return GaussianMixture([0.5, 0.5], [Gaussian(-centre, width), Gaussian(centre, width)])


def count_modes(law):
    """How many tops the density has, on a fine grid that 0 lies on."""
    x = np.linspace(-8, 8, 3201)
    return int((np.diff(np.sign(np.diff(law.log_pdf(x)))) < 0).sum())


modes = np.array([count_modes(law_at(schedule, t)) for t in range(1, T + 1)])
merged = 1 + int(np.argmax(modes == 1))
lesson.say(f"two modes up to t = {merged - 1}, one from t = {merged} on, of {T}")
lesson.check("the step at which the modes merge", merged, int(np.argmax(schedule.snr <= 1 / 25)))
lesson.check("modes of p_T, betas rescaled and not",
             [modes[-1], count_modes(law_at(unscaled, 100))], [1, 2])
to_noise = np.array([kl(law_at(schedule, t), Gaussian(0, 1)).value for t in range(1, T + 1)])
lesson.check("KL(p_t||N(0, 1)): the largest rise", max(0.0, np.diff(to_noise).max()), 0.0,
             "quadrature")
lesson.check("KL(p_T||N(0, 1)) = (24 ᾱ_T)²/4", to_noise[-1], (24 * schedule.alpha_bar[-1]) ** 2 / 4,
             "quadrature", 1e-10)  # p_T has the variance 1 + 24 ᾱ_T, and looks Gaussian

n = 20_000
x0 = mg.Tensor(5.0 * rng.choice([-1, 1], (n, 1)))
t = schedule.draw_steps(n, rng)
x_t = q_sample(schedule, x0, t, mg.randn(n, 1, dtype="float64"))
ranks = np.concatenate([law_at(schedule, step).cdf(x_t.numpy()[t == step, 0])
                        for step in np.unique(t)])
lesson.check("x_t at random steps, each in its own law's cdf: mean", ranks.mean(), 0.5,
             "monte-carlo", n=n, standard_error=math.sqrt(1 / 12 / n))
lesson.check("... variance 1/12", ranks.var(), 1 / 12, "monte-carlo", n=n,
             standard_error=math.sqrt(1 / 180 / n))


def figure_of_carpet():
    """p_t(x) from t = 0 to T as a carpet, with a few paths; and the laws at five steps."""
    fine = linear_schedule(1000)
    x = np.linspace(-7.5, 7.5, 500)
    steps = np.arange(5, 1001, 5)
    carpet = np.array([law_at(fine, t).pdf(x) for t in steps]).T
    fig, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained", sharey=True,
                                      width_ratios=[3, 1])
    left.imshow(carpet**0.5, origin="lower", aspect="auto", extent=(0, 1000, x[0], x[-1]),
                cmap="Blues", vmax=0.9)
    # Paths of their own generator: how many a figure shows must not change what is checked.
    paths = draw_paths(fine, 8, np.random.default_rng([lesson.seed, 1]))
    left.plot(paths, color=THEORY, lw=0.5, alpha=0.75)
    for sign in (-1, 1):
        left.plot(sign * 5 * fine.signal, color=FAKE, lw=1.6, ls="--",
                  label="$\\pm 5\\sqrt{\\bar\\alpha_t}$" if sign > 0 else None)
    merge = int(np.argmax(fine.snr <= 1 / 25))
    left.axvline(merge, color=LEARNED, lw=1.4)
    left.text(merge + 8, -7.1, f"t = {merge}: two modes become one", color=LEARNED)
    left.set(xlabel="t", ylabel="$x_t$", xlim=(0, 1000))
    left.set_title("From two points to one Gaussian: the density of $x_t$, and eight paths")
    left.legend(loc="upper right")
    for t, shade in zip((50, 150, 300, 500, 1000), plt.cm.viridis(np.linspace(0, 0.9, 5))):
        right.plot(law_at(fine, t).pdf(x), x, color=shade, label=f"t = {t}")
    right.set_xlabel("density")
    right.set_title("Five of its columns")
    right.legend(loc="center right")
    lesson.figure(fig, "carpet")


def draw_paths(s, count, generator):
    """Chains from ±5, an array (T + 1, count)."""
    x = mg.Tensor(5.0 * (-1.0) ** np.arange(count).reshape(-1, 1))
    path = [x]
    for t in range(1, s.T + 1):
        eps = mg.randn(count, 1, generator=generator, dtype="float64")
        path.append(q_step(s, path[-1], t, eps))
    return np.array([points.numpy()[:, 0] for points in path])


figure_of_carpet()

# %%
lesson.step("""
    7. Exercises
      a. A step that only adds, x_t = x_{t-1} + √β_t ε_t: what is the variance of x_T for data of
         variance 1?
      b. What is the correlation of x_s and x_t, s < t, for data of variance 1?
      c. Somebody forgets a root: x_t = √ᾱ x_0 + (1 - ᾱ) ε. What is the smallest variance that x_t
         has on its way, for data of variance 1? Would a plot at t = 0 and t = T show it?
      d. Which part of the linear schedule's steps (T = 1000) does ±5 spend with two modes, and
         which part would ±1 spend?
    Answers
      a. 1 + Σ β_t = 11.05. It explodes instead of forgetting: the "variance exploding" family goes
         on until 1 is nothing beside it, and never has N(0, 1) at its end.
      b. x_t = √(ᾱ_t/ᾱ_s) x_s + noise, so it is √(ᾱ_t/ᾱ_s).
      c. ᾱ + (1 - ᾱ)² is least at ᾱ = 1/2: 3/4. At both ends it is 1, and nothing shows.
      d. SNR > 1/25 or SNR > 1, that is ln ᾱ > -ln 26 or -ln 2. With u = t/T, -ln ᾱ ≈ 1000 [a u +
         (b - a) u²/2] = .1 u + 9.95 u²: u = .567 and .259. More than half of them, and a quarter.
""")
exploded = 1.0
for t in range(1, T + 1):
    exploded += q_step(schedule, NIL, t, ONE).item() ** 2
lesson.check("exercise a: variance without shrinking", exploded, 11.05)
n, s, t = 20_000, 20, 45
x_s = q_sample(schedule, mg.randn(n, 1, dtype="float64"), s, mg.randn(n, 1, dtype="float64"))
x_t = x_s
for step in range(s + 1, t + 1):
    x_t = q_step(schedule, x_t, step, mg.randn(n, 1, dtype="float64"))
rho = math.sqrt(schedule.alpha_bar[t] / schedule.alpha_bar[s])
lesson.check("exercise b: correlation of x_20 and x_45",
             np.corrcoef(x_s.numpy()[:, 0], x_t.numpy()[:, 0])[0, 1], rho, "monte-carlo", n=n,
             standard_error=(1 - rho**2) / math.sqrt(n))
forgetful = long.alpha_bar + (1 - long.alpha_bar) ** 2
lesson.check("exercise c: the smallest variance", forgetful.min(), 0.75, tolerance=1e-4)
lesson.check("exercise c: the variance at t = 0 and T", forgetful[[0, -1]], 1.0, tolerance=1e-4)
lesson.check("exercise d: steps with two modes, ±5 and ±1",
             [(long.snr[1:] > 1 / 25).sum(), (long.snr[1:] > 1).sum()],
             [1000 * (math.sqrt(0.1**2 + 4 * 9.95 * math.log(k)) - 0.1) / (2 * 9.95)
              for k in (26, 2)], tolerance=2)  # steps: beta² was left out
lesson.finish()
