"""13. Guidance: ask a diffusion for a class, and ask harder

The question. A diffusion that has learned all the data draws what it likes. How do you name what
you want, and what comes out when you ask more strongly than the data would?

You will derive that the score of p(x|y) is the score of p(x) plus the slope of a classifier; build
guidance with a classifier and without; train one network that answers for every class and for
none, so that you name the mode of two, and of eight; and compute which law strong guidance samples:
not p(x) p(y|x)^γ, normalised, though many texts say so.

You need: Tweedie's formula (lesson 11), DDPM and DDIM (12), Bayes' rule (00).
Papers: Dhariwal and Nichol 2021; Ho and Salimans 2022 on classifier-free guidance; Song, Meng and
Ermon 2021 on DDIM; Song et al. 2021 on the differential equations; Bradley and Nakkiran 2024 on the
law that guidance does not sample.

Notation: t = 1 .. T, x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε, score = ∇ ln p_t(x_t) = -ε̂/√(1 - ᾱ_t). γ is
the strength of guidance: γ = 0 does not ask, γ = 1 asks as the data do.
"""

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
from lesson import FAKE, LEARNED, REAL, THEORY, Lesson

import minigen as mg
from minigen import losses, nn, ops, optim
from minigen.densities import Gaussian, GaussianMixture, ring
from minigen.ema import EMA
from minigen.models.denoiser import MLPDenoiser, drop_labels, time_embedding
from minigen.models.diffusion import q_sample, score_from_eps, simple_loss
from minigen.models.guidance import classifier_free_guidance, classifier_guidance
from minigen.models.mixture_denoiser import MixtureDenoiser
from minigen.models.samplers import ddim, ddpm
from minigen.models.schedule import Schedule, beside, linear_schedule
from minigen.quadrature import integrate
from minigen.training import minimise, train

lesson = Lesson("13_guidance", __doc__)
rng = lesson.rng

schedule = linear_schedule(100)
T = schedule.T
EVERY = np.arange(1, T + 1)

# Two kinds of data, with classes: two modes on the line, of unequal weight, and eight on a ring.
MINUS, PLUS = 0, 1
line = GaussianMixture([0.3, 0.7], [Gaussian(-5, 1), Gaussian(5, 1)])
eight = ring(8, radius=2.0, std=0.22)
on_line, on_ring = MixtureDenoiser(line, schedule), MixtureDenoiser(eight, schedule)


def column(values):
    """Numbers as points (n, 1), float64."""
    return mg.Tensor(np.reshape(np.asarray(values, dtype=np.float64), (-1, 1)))


def flat(tensor):
    return tensor.numpy().ravel()


def of_class(denoiser, y):
    """The denoiser, asked for class y: one for all points, or (n,)."""
    return lambda x, t: denoiser(x, t, y)


# %%
lesson.step("""
    1. Bayes' rule for scores
    Claim.  ∇ ln p_t(x|y) = ∇ ln p_t(x) + ∇ ln p_t(y|x),  at every t.
      1. Noise is added to x_0 whatever its label is, so x_t has a law p_t(x|y) for each class, and
         p_t(y|x) = P(y | x_t = x): the label of the clean point, judged by the noisy one.
      2. ln p_t(x|y) = ln p_t(x) + ln p_t(y|x) - ln p(y). The last does not depend on x: no slope.
      3. ε = -√(1 - ᾱ) score, so in the language of denoisers
         ε(x_t, t, y) = ε(x_t, t) - √(1 - ᾱ_t) ∇ ln p_t(y|x_t).
    So who has a denoiser of everything and a classifier of *noisy* points, has every class. With
    exact ones (a Gaussian mixture has both in closed form) it must hold to rounding.
""")
x = mg.randn(len(EVERY), 1, dtype="float64") * 3.0
for name, y in (("+5", PLUS), ("-5", MINUS)):
    by_bayes = classifier_guidance(
        on_line, lambda x, t: on_line.log_class(x, t, y), schedule, gamma=1.0)
    lesson.check(f"{name}: ε + the classifier's part = ε of the class, at every t",
                 by_bayes(x, EVERY), on_line(x, EVERY, y))
x, y = mg.randn(len(EVERY), 2, dtype="float64"), np.arange(len(EVERY)) % 8
by_bayes = classifier_guidance(
    on_ring, lambda x, t: on_ring.log_class(x, t, y), schedule, gamma=1.0)
lesson.check("the ring, each point its class: the same", by_bayes(x, EVERY), on_ring(x, EVERY, y))
shares = np.exp([on_ring.log_class(x, EVERY, k).numpy() for k in range(8)])
lesson.check("the classes of a noisy point: probabilities of sum 1", shares.sum(axis=0), 1.0)
certain = np.exp([on_ring.log_class(mg.Tensor(eight.components[0].mean[None]), t, 0).item()
                  for t in (1, 30, 60, 90)])
lesson.say("at mode 0, P(class 0 | x_t) = " + ", ".join(
    f"{p:.3f} at t = {t}" for p, t in zip(certain, (1, 30, 60, 90))))

# %%
lesson.step("""
    2. A dial, and no classifier
      1. Multiply the classifier's part by γ:  ε̂ = ε(x_t, t) - γ √(1 - ᾱ) ∇ ln p_t(y|x_t).
      2. By step 1 that part is a difference of denoisers, -√(1 - ᾱ) ∇ ln p_t(y|x) = ε(x, t, y) -
         ε(x, t). So no classifier is needed:  ε̂ = ε_u + γ (ε_c - ε_u),  u without class, c with.
      3. γ = 0 gives ε_u and γ = 1 gives ε_c. Beyond 1 nothing of this is a denoiser of any data
         that you know. Steps 4 to 6 ask what comes out.
      4. Two conventions are in use. Ho and Salimans write (1 + w) ε_c - w ε_u. That is
         ε_u + (1 + w)(ε_c - ε_u):  γ = 1 + w, and their w = 0 is γ = 1. "Strength 3" may mean
         either: look which value leaves the conditional model alone.
""")
asked = of_class(on_ring, y)
eps_c, eps_u = asked(x, EVERY), on_ring(x, EVERY)
lesson.check("γ = 0 does not ask", classifier_free_guidance(asked, on_ring, 0.0)(x, EVERY), eps_u)
lesson.check("γ = 1 is the conditional denoiser",
             classifier_free_guidance(asked, on_ring, 1.0)(x, EVERY), eps_c)
for gamma in (-1.0, 3.0):
    free = classifier_free_guidance(asked, on_ring, gamma)(x, EVERY)
    with_classifier = classifier_guidance(
        on_ring, lambda x, t: on_ring.log_class(x, t, y), schedule, gamma)
    lesson.check(f"γ = {gamma:g}: with classifier = without", with_classifier(x, EVERY), free)
    w = gamma - 1
    lesson.check(f"γ = {gamma:g}: (1 + w) ε_c - w ε_u with w = {w:g}", free,
                 (1 + w) * eps_c - w * eps_u)

# %%
lesson.step("""
    3. One network for both: label dropout
    A label goes into the network as a row of a table, learned like any weight. One more row stands
    for "no class". In training each label is replaced by that with probability p.
      1. The loss is then (1 - p) E|ε - ε̂(x_t, t, y)|² + p E|ε - ε̂(x_t, t, none)|².
      2. Each part has its own minimum, whatever p is: ε̂(., y) = E[ε|x_t, y] and ε̂(., none) =
         E[ε|x_t]. So both denoisers are learned, in one network that shares all but a row.
      3. With p = 0 the row "none" is never trained: guidance subtracts a random network. With p = 1
         no class is ever told. In between p only says how much practice each part gets.
""")
n, p = 20_000, 0.1
labels = rng.integers(0, 8, n)
dropped = drop_labels(labels, 8, p, rng)
lesson.check("labels dropped", (dropped == 8).mean(), p, "monte-carlo", n=n,
             standard_error=math.sqrt(p * (1 - p) / n))
lesson.check("labels kept are the right ones",
             (dropped == labels).mean() + (dropped == 8).mean(), 1.0)
network = MLPDenoiser(2, (32, 32), classes=8, generator=rng)
batch, told = mg.randn(6, 2), np.array([3, 8, 0, 3, 8, 5])
loss = simple_loss(of_class(network, told), schedule, batch, schedule.draw_steps(6, rng),
                   mg.randn(6, 2))
slope, = mg.grad(loss, network.labels)
lesson.check("the rows that a batch with labels 3, none, 0, 3, none, 5 trains",
             abs(slope.numpy()).max(axis=1) > 0, [1, 0, 0, 1, 0, 1, 0, 0, 1])

# %%
lesson.step("""
    4. Guidance does not sample the tilted law
    One reads that guidance with γ samples p(x) p(y|x)^γ, normalised: "the conditional, sharpened to
    its power". Take everything Gaussian, so that each law can be computed:
      p(x) = N(0, 2),   p(x|c) = N(1, 1),   A = ᾱ for short.
    The pair is possible: p(x|c)/p(x) is at most √2 e^(1/2) = 2.33, so c may have up to 43% of p.
    The tilted law.
      1. p(x) p(c|x)^γ ∝ p(x|c)^γ p(x)^(1-γ): precisions add up, γ·1 + (1 - γ)/2 = (γ + 1)/2.
         It is N(2γ/(γ + 1), 2/(γ + 1)): at γ = 2 its variance is 2/3 = .6667, its mean 4/3.
    What the guided sampler follows.
      2. p_t = N(0, 1 + A), p_t(x|c) = N(√A, 1). The guided score is γ times the one's, 1 - γ times
         the other's:  s = -k x + γ √A,  with  k = γ + (1 - γ)/(1 + A) = 1 + (γ - 1) A/(1 + A).
      3. A step of DDIM from A to A' = A (1 + h), with ε̂ = -√(1 - A) s:
         x' = √A' (x + (1 - A) s)/√A - √(1 - A') √(1 - A) s = x + h (x + s)/2 + O(h²).
         In the limit  dx/dA = (x + s)/(2A) = (1 - γ) x/(2(1 + A)) + γ/(2√A),  from A = 0 to 1.
      4. Without the last term, x ∝ (1 + A)^((1-γ)/2). From variance 1 at A = 0:  Var = 2^(1-γ), at
         γ = 2 .5. It is 1^γ 2^(1-γ): the geometric mean of the variances, where the tilted law
         has a harmonic one.
      5. With it (try x = u (1 + A)^((1-γ)/2), and A = r²):
         mean = γ 2^((1-γ)/2) ∫_0^1 (1 + r²)^((γ-1)/2) dr, at γ = 2 (√2 + asinh 1)/√2 = 1.6232.
    DDPM adds noise on its way, and gets yet another law.
      6. Its step is  x' = (x + β s)/√α + √β ε = x + h (x/2 + s) + √h ε,  where h is β. So the
         variance follows  A dV/dA = V (1 - 2k) + 1,  and A (1 + A)^(2γ-2) V has the derivative
         (1 + A)^(2γ-2):  V = (2^(2γ-1) - 1)/((2γ - 1) 2^(2γ-2)), at γ = 2 7/12 = .5833.
      7. In the same way A dM/dA = M (1/2 - k) + γ √A for the mean, √A (1 + A)^(γ-1) M has the
         derivative γ (1 + A)^(γ-1), and  M = 2 - 2^(1-γ), at γ = 2 1.5.
    Both samplers are linear here, so their laws are computed without a random number, from the code
    of `ddim` and `ddpm`: a mean from a start at 0, a factor from a start at 1, and for DDPM what
    becomes of the noise of each step. T = 100, 200, 400, extrapolated to T = ∞ (Richardson).
""")
POPULATION = GaussianMixture([1.0], [Gaussian(0, math.sqrt(2))])
CLASS = GaussianMixture([1.0], [Gaussian(1, 1)])


grid = np.linspace(-5, 9, 1401)
lesson.check("p(x|c)/p(x) is at most √2 e^(1/2)", (CLASS.pdf(grid) / POPULATION.pdf(grid)).max(),
             math.sqrt(2 * math.e))


def equal_angles(T):
    """√ᾱ_t = cos φ for equally spaced φ: DDIM turns by one angle a step, and errors shrink as 1/T.

    φ ends just below a right angle, with ᾱ_T = 1e-12: to start at N(0, 1) costs nothing.
    """
    alpha_bar = np.cos(np.linspace(0, math.acos(1e-6), T + 1)) ** 2
    return Schedule(1 - alpha_bar[1:] / alpha_bar[:-1])


def guided_pair(schedule, gamma):
    """The exact guided denoiser of the pair; gamma: a number, or a column, one for each point."""
    return classifier_free_guidance(
        MixtureDenoiser(CLASS, schedule), MixtureDenoiser(POPULATION, schedule), gamma)


def sampled_laws(gammas, T):
    """Mean and variance of what ddim and ddpm draw in T steps: (4, len(gammas))."""
    schedule = equal_angles(T)
    k = len(gammas)
    guided = guided_pair(schedule, column(np.tile(gammas, 2)))
    start = column(np.repeat([0.0, 1.0], k))  # all means first, then all factors
    by_ddim = flat(ddim(guided, schedule, start))
    path = {}
    ddpm(guided, schedule, start, np.zeros(T + 1), watch=lambda t, x: path.update({t: flat(x)}))
    ends = path[0]
    factor = np.array([path[t][k:] - path[t][:k] for t in range(T + 1)])  # of x_T in x_t
    added = schedule.beta_tilde[2:, None] * (factor[0] / factor[1:T]) ** 2  # at t, in x_{t-1}
    return np.array([by_ddim[:k], (by_ddim[k:] - by_ddim[:k]) ** 2,
                     ends[:k], factor[0] ** 2 + added.sum(axis=0)])


def to_many_steps(coarse, middle, fine):
    """The limit of values at T, 2T, 4T with errors in 1/T and 1/T²; and what the last term was."""
    once = 2 * fine - middle
    twice = (4 * once - (2 * middle - coarse)) / 3
    return twice, abs(twice - once)


def tilted_moments(gamma):
    """Mean and variance of p(x|c)^γ p(x)^(1-γ), normalised, by quadrature."""
    def power(x, k):
        return x**k * np.exp(gamma * CLASS.log_pdf(x) + (1 - gamma) * POPULATION.log_pdf(x))
    mass, first, second = (integrate(lambda x: power(x, k), -15, 15).value for k in range(3))
    return first / mass, second / mass - (first / mass) ** 2


gammas = np.array([0.0, 1.0, 2.0, 4.0])
START = gammas.max() * 1e-6  # what √ᾱ_T = 1e-6 in place of 0 can cost
limits, errors = to_many_steps(*(sampled_laws(gammas, steps) for steps in (100, 200, 400)))
over_r = [integrate(lambda r: (1 + r**2) ** ((g - 1) / 2), 0, 1).value for g in gammas]
power = 2 ** (1 - gammas)
laws = np.array([gammas * np.sqrt(power) * over_r, power, 2 - power,
                 (2 - power**2) / (2 * gammas - 1)])  # line 6, divided through
tilted = np.array([tilted_moments(gamma) for gamma in gammas]).T
for name, limit, law, error in zip(("DDIM: mean", "DDIM: variance", "DDPM: mean", "DDPM: variance"),
                                   limits, laws, errors):
    lesson.check(f"{name} at γ = 0, 1, 2, 4, T → ∞", limit, law, "quadrature", error.max() + START)
lesson.check("tilted: mean", tilted[0], 2 * gammas / (gammas + 1), "quadrature")
lesson.check("tilted: variance", tilted[1], 2 / (gammas + 1), "quadrature")
lesson.check("γ = 2: variance .5 by DDIM", limits[1, 2], 0.5, "quadrature", errors[1, 2] + START)
lesson.check("γ = 2: variance 7/12 by DDPM", limits[3, 2], 7 / 12, "quadrature", errors[3, 2])
lesson.check("γ = 2: variance 2/3 of the tilted law", tilted[1, 2], 2 / 3, "quadrature")
lesson.check("γ = 2: DDIM's mean = (√2 + asinh 1)/√2", limits[0, 2],
             (math.sqrt(2) + math.asinh(1)) / math.sqrt(2), "quadrature", errors[0, 2] + START)

n = 20_000
schedule_100 = equal_angles(100)
guided = guided_pair(schedule_100, 2.0)
exact_100 = sampled_laws(np.array([2.0]), 100).ravel()
for name, sampler, (mean, variance) in (("DDIM", ddim, exact_100[:2]),
                                        ("DDPM", ddpm, exact_100[2:])):
    found = flat(sampler(guided, schedule_100, mg.randn(n, 1, dtype="float64")))
    lesson.check(f"γ = 2, T = 100: {name} sampled, mean", found.mean(), mean, "monte-carlo", n=n,
                 standard_error=math.sqrt(variance / n))
    lesson.check(f"γ = 2, T = 100: {name} sampled, variance", found.var(), variance, "monte-carlo",
                 n=n, standard_error=variance * math.sqrt(2 / n))

# %%
lesson.step("""
    5. Why not? Noise and power do not commute
      1. The tilted law, noised to t, is N(., 1 - A/3) at γ = 2: its score falls by 1/(1 - A/3) per
         unit of x. Guidance has k = (1 + 2A)/(1 + A) in its place. The two agree at A = 1, where
         there is no noise, and at A = 0. In between guidance is the steeper.
      2. So the guided field is not the score of any one law with noise on it. Then DDIM and DDPM
         have no reason to agree either; at γ = 1 both draw p(x|c), and they do.
      3. An exception: p(x) = N(0, 1), p(x|c) = N(1, 1). With one variance the slope of ln p_t(c|x)
         is √A, whatever x is. Guidance adds up means, k = 1, and draws N(γ, 1), the tilted law.
    Guided steps do lead to the tilted law where they stay at the last, almost noiseless field and
    add fresh noise: exercise c.
""")
points = column(np.linspace(-3, 3, 13))
tilted_at_2 = MixtureDenoiser(GaussianMixture([1.0], [Gaussian(4 / 3, math.sqrt(2 / 3))]), schedule)
for t in (1, 20, 50, T):
    A = schedule.alpha_bar[t]
    found, tilt = (score_from_eps(schedule, points, t, denoiser(points, t)).numpy()
                   for denoiser in (guided_pair(schedule, 2.0), tilted_at_2))
    k, k_tilted = (1 + 2 * A) / (1 + A), 1 / (1 - A / 3)
    lesson.say(f"t = {t}: A = {A:.4f}, the guided score falls by {k:.4f}, the tilted law's by "
               f"{k_tilted:.4f} per unit of x")
    lesson.check(f"t = {t}: the guided score is 2√A - x (1 + 2A)/(1 + A)", found,
                 2 * math.sqrt(A) - k * points.numpy())
    lesson.check(f"t = {t}: the tilted law's is (4√A/3 - x)/(1 - A/3)", tilt,
                 k_tilted * (4 / 3 * math.sqrt(A) - points.numpy()))
alone = MixtureDenoiser(GaussianMixture([1.0], [Gaussian(0, 1)]), schedule)
for gamma in (-1.0, 2.0, 4.0):
    guided = classifier_free_guidance(MixtureDenoiser(CLASS, schedule), alone, gamma)
    shifted = MixtureDenoiser(GaussianMixture([1.0], [Gaussian(gamma, 1)]), schedule)
    lesson.check(f"one variance, γ = {gamma:g}: guided = the denoiser of N({gamma:g}, 1)",
                 guided(column(np.zeros(T)), EVERY), shifted(column(np.zeros(T)), EVERY))

# %%
lesson.step("""
    6. Too far and too narrow
    Data .3 N(-5, 1) + .7 N(5, 1), and we ask for +5. The classes hardly overlap, p(+|x) is 1 where
    the class is, and a power of 1 is 1: from γ = 1 on the tilted law is N(5, 1). But guidance acts
    earlier, where the noise has mixed the classes.
      1. All variances are 1 at every t. With r = √ᾱ and P(-) = p_t(-|x):
         score_c = 5r - x,   score_c - score_u = 10 r P(-).
      2. So the guided score is 5r (1 + 2(γ - 1) P(-)) - x: it aims at x_0 = 5(1 + 2(γ - 1) P(-)).
         At t = T P(-) is .3, and γ = 4 aims at 14. Once P(-) is 0 it aims at 5, but too late.
      3. DDIM in many steps, with dx/dA = (x + s)/(2A) and A = r²:
         dx/dr = 5 (1 + 2(γ - 1) P(-)),  from x = z ~ N(0, 1) at r = 0 to r = 1.
         γ = 1: x_0 = z + 5. γ > 1: beyond that, by 10 (γ - 1) ∫ P(-) dr along the way.
      4. Who starts on the left meets more P(-) and is pushed further. So the left catches up, and
         the width falls below 1: fewer kinds of picture, and stronger ones.
      5. γ < 0 pushes away, but not to the other class: where P(-) = 1 the field is that of
         N(5(2γ - 1), 1), which is N(-15, 1) at γ = -1. No data are there.
    On the line the map z → x_0 rises, so that the law of x_0 has the density φ(z) dz/dx_0, and its
    moments are sums over z. Two ways to the map: DDIM, T → ∞; and Runge-Kutta on line 3.
""")
Z = np.linspace(-6, 6, 241)
MASS = Gaussian(0, 1).pdf(Z) * (Z[1] - Z[0])  # the trapezoid rule: its error is below 1e-8 here


def moments(x0):
    """Mean and standard deviation of x_0(z), z ~ N(0, 1), over the last axis."""
    mean = (x0 * MASS).sum(-1)
    return np.array([mean, np.sqrt(((x0 - mean[..., None]) ** 2 * MASS).sum(-1))])


def ddim_map(gammas, schedule, steps=None, z=Z):
    """x_0 of every z, for the line's exact denoiser asked for +5: (len(gammas), len(z))."""
    exact = MixtureDenoiser(line, schedule)
    strengths = column(np.repeat(gammas, len(z)))  # each row of points has its own
    guided = classifier_free_guidance(of_class(exact, PLUS), exact, strengths)
    x0 = ddim(guided, schedule, column(np.tile(z, len(gammas))), steps)
    return x0.numpy().reshape(-1, len(z))


def runge_kutta_map(gamma, steps=200):
    """The same by line 3, without a denoiser."""
    def speed(r, x):
        minus = 1 / (1 + np.exp(10 * r * x + math.log(7 / 3)))
        return 5 * (1 + 2 * (gamma - 1) * minus)
    x, h = Z, 1 / steps
    for r in np.arange(steps) * h:
        a = speed(r, x)
        b = speed(r + h / 2, x + h / 2 * a)
        c = speed(r + h / 2, x + h / 2 * b)
        x = x + h / 6 * (a + 2 * b + 2 * c + speed(r + h, x + h * c))
    return x


lesson.check("γ = -1, left of the data: the field of N(-15, 1)",
             classifier_free_guidance(of_class(on_line, PLUS), on_line, -1.0)(points - 9.0, 30),
             MixtureDenoiser(GaussianMixture([1.0], [Gaussian(-15, 1)]), schedule)(
                 points - 9.0, 30))
strong = np.array([1.0, 2.0, 4.0, -1.0])
maps, error = to_many_steps(*(ddim_map(strong, equal_angles(steps)) for steps in (100, 200, 400)))
by_formula = np.array([runge_kutta_map(gamma) for gamma in strong])
lesson.check("γ = 1: x_0 = z + 5", maps[0], Z + 5, "quadrature", error[0].max() + START)
lesson.check("γ = 2, 4: x_0 of every z, DDIM = Runge-Kutta", maps[1:3], by_formula[1:3],
             "quadrature", error[1:3].max() + START)
left = Z < -1
lesson.check("γ = -1: x_0 of z < -1, DDIM = Runge-Kutta", maps[3, left], by_formula[3, left],
             "quadrature", error[3, left].max() + START)
overlap = integrate(lambda x: line.components[PLUS].pdf(x) * line.responsibilities(x)[MINUS] ** 2,
                    -5, 15, [0.0, 5.0]).value


def tilted_mean(gamma):
    """Of p(x|+)^γ p(x)^(1-γ), by quadrature."""
    def density(x):
        return np.exp(gamma * line.components[PLUS].log_pdf(x) + (1 - gamma) * line.log_pdf(x))
    mass = integrate(density, -10, 20, [0.0, 5.0]).value
    return integrate(lambda x: x * density(x), -10, 20, [0.0, 5.0]).value / mass


for gamma, x0 in zip(strong[:3], by_formula):
    mean, width = moments(x0)
    lesson.say(f"γ = {gamma:g}: guided mean {mean:.4f}, width {width:.4f}; the tilted law's mean "
               f"{tilted_mean(gamma):.4f}")
    # Tilting by P(+)^(γ-1) moves the mean by at most this: Cauchy-Schwarz, and 1 - P(+) = P(-).
    lesson.check(f"γ = {gamma:g}: the tilted mean is 5", tilted_mean(gamma), 5.0, "quadrature",
                 max(gamma - 1, 1e-6) * 2 * math.sqrt(overlap))
gone = by_formula[3] < 0
lesson.say(f"γ = -1: {MASS[~gone].sum():.0%} still become +, for γ = 0 it is 70%; the mean of the "
           f"others is {np.average(by_formula[3, gone], weights=MASS[gone]):.2f}, not -5")

# %%
lesson.step("""
    7. You name the mode: two on the line
    Now nothing is exact any more. A network is trained on the line with its labels, dropped with
    p = 1/2, and its average weights are asked: for +5, for -5, for nothing.
      1. Class -5 is rarer, .3 to .7. Asked for by name it is drawn every time: p(x|y) knows no
         p(y). Not asked, it comes in 30% of the cases.
      2. Beyond γ = 1 the network must go where step 6 says, too far and too narrow, for that is
         what its two denoisers say when they are right. Both start from the same noise.
    For pictures Ho and Salimans found p = .1 or .2 best. Here "none" is the harder thing to learn,
    a field with bends, where each class alone has a straight one: it gets half of the practice.
""")


def draw(mixture, y):
    """Points x_0 (n, d) of the classes y (n,), float32."""
    x = np.empty((len(y), mixture.dim))
    for k, part in enumerate(mixture.components):
        x[y == k] = part.sample(int((y == k).sum()), rng).reshape(-1, mixture.dim)
    return mg.Tensor(x, dtype="float32")


def learn(mixture, hidden, steps):
    """A denoiser of all classes and of none."""
    classes = len(mixture.weights)
    net = MLPDenoiser(mixture.dim, hidden, classes, generator=rng)
    average = EMA(net, 0.995)
    optimiser = optim.Adam(net.parameters(), lr=5e-3)

    def step(i):
        optimiser.lr = 5e-3 * (1 - i / steps)
        y = rng.choice(classes, 384, p=mixture.weights)
        x0, told = draw(mixture, y), drop_labels(y, net.classes, 0.5, rng)
        loss = simple_loss(of_class(net, told), schedule, x0, schedule.draw_steps(384, rng),
                           mg.randn(*x0.shape, generator=rng))
        minimise(loss, optimiser, net)
        average.update()
        return {"loss": loss}

    train(step, steps)
    return average.model


def excess(net, exact, mixture, n=4000):
    """E|ε̂ - ε*|² a number of x_t, over the points of the loss: told the class, and not told."""
    y = rng.choice(len(mixture.weights), n, p=mixture.weights)
    t, x0 = schedule.draw_steps(n, rng), draw(mixture, y)
    x_t = q_sample(schedule, x0, t, mg.randn(*x0.shape, generator=rng))
    return [losses.mse(net(x_t, t, told), exact(x_t, t, told)).item() for told in (y, None)]


# 49 of the 100 steps, closer together where little noise is left: there DDIM's errors arise.
FEW = np.unique(np.ceil(T * (np.arange(1, 51) / 50) ** 1.5).astype(int)).tolist()


def ask(denoiser, y, gamma, start):
    """What is drawn for class y, one for all or (n,), at strength gamma: (n, d), a NumPy array."""
    guided = classifier_free_guidance(of_class(denoiser, y), denoiser, gamma)
    return ddim(guided, schedule, start, FEW).numpy()


longer = 4 if lesson.full else 1
line_net = learn(line, (64, 64, 64), 2500 * longer)
told, not_told = excess(line_net, on_line, line)
lesson.check("the line: E|ε̂ - ε*|², told the class", told, 0.0, "trained", 0.003,
             why="8 runs: .0003 to .0006")
lesson.check("the line: E|ε̂ - ε*|², not told", not_told, 0.0, "trained", 0.006,
             why="8 runs: .0005 to .0015")

n = 4000
start = mg.randn(n, 1, generator=rng)
for name, y, side in (("+5", PLUS, 1), ("-5", MINUS, -1)):
    found, true = (ask(denoiser, y, 1.0, start).ravel() for denoiser in (line_net, on_line))
    there = found[found * side > 0]
    share = len(there) / n
    lesson.say(f"asked for {name}: {share:.2%} of n = {n:,} there; their mean {there.mean():.3f}, "
               f"width {there.std():.3f}")
    lesson.check(f"asked for {name}: share that is there", share, 1.0, "trained", 0.01,
                 why="the bar: more than 99%; 8 runs: 99.6% and more")
    lesson.check(f"asked for {name}: mean", there.mean(), true.mean(), "trained", 0.12,
                 why="8 runs: off by up to .03, sd .02")
    lesson.check(f"asked for {name}: width", there.std(), true.std(), "trained", 0.12,
                 why="8 runs: off by up to .03, sd .02")
found = ask(line_net, PLUS, 0.0, start)
lesson.check("asked for nothing: share of +5", np.mean(found > 0), 0.7, "trained", 0.06,
             why="10 runs: .674 to .707, sd .01")


def middle(x):
    """Median and half of the distance between the quartiles: a few runaways do not move them."""
    low, median, high = np.quantile(x, [0.25, 0.5, 0.75])
    return median, (high - low) / 2


by_strength = {0: found.ravel()}
for gamma in (1, 2, 4):
    by_strength[gamma] = ask(line_net, PLUS, float(gamma), start).ravel()
    found = middle(by_strength[gamma])
    true = middle(ask(on_line, PLUS, float(gamma), start))
    lesson.say(f"γ = {gamma}: median {found[0]:.3f}, by the exact denoiser {true[0]:.3f}; half "
               f"of the points within ±{found[1]:.3f}, exact ±{true[1]:.3f}")
    tolerance, why = {1: (0.12, "8 runs: off by up to .03"),
                      2: (0.22, "8 runs: sd .04; the tilted law's is .33 away"),
                      4: (0.5, "8 runs: sd .09; the tilted law's is .83 away")}[gamma]
    lesson.check(f"trained, γ = {gamma}: median", found[0], true[0], "trained", tolerance, why=why)

# %%
lesson.step("""
    8. Eight on a ring
    The same with eight classes in the plane. Each of 2,000 points asks for its own. To name one
    yourself: ask(ring_net, 3, 1.0, start) draws 2,000 points of mode 3.
      1. γ = 1: the asked mode, in its true width.
      2. γ > 1: the neighbours push from both sides, so a mode grows narrow along the ring; nobody
         pushes from outside, so it moves outwards. Step 6, seen from above.
      3. At γ = 4 the exact denoiser goes more than 2 widths out. A network has never been there: it
         was trained on the paths of the data. Part of what strong guidance does to a picture is
         the law, and part is the network's ignorance. The figure's two rows tell them apart.
""")
ring_net = learn(eight, (96, 96, 96), 3000 * longer)
told, not_told = excess(ring_net, on_ring, eight)
lesson.check("the ring: E|ε̂ - ε*|², told the class", told, 0.0, "trained", 0.004,
             why="8 runs: .0008 to .0010")
lesson.check("the ring: E|ε̂ - ε*|², not told", not_told, 0.0, "trained", 0.04,
             why="8 runs: .009 to .017")

CENTRES = np.array([mode.mean for mode in eight.components])
n = 2000
y = np.arange(n) % 8
outwards = CENTRES[y] / 2.0
start = mg.randn(n, 2, generator=rng)


def hits(points):
    """The share next to the mode that was asked for; the share within 3 widths of it."""
    distance = np.linalg.norm(points[:, None] - CENTRES, axis=2)
    return np.mean(distance.argmin(axis=1) == y), np.mean(distance[np.arange(n), y] < 3 * 0.22)


def along_and_out(points):
    """Width along the ring, and mean distance outwards, each seen from the asked mode."""
    along = points[:, 1] * outwards[:, 0] - points[:, 0] * outwards[:, 1]
    return along.std(), (points * outwards).sum(axis=1).mean()


on_the_ring = {}
for gamma in (1, 2, 4):
    true, found = (ask(denoiser, y, float(gamma), start) for denoiser in (on_ring, ring_net))
    on_the_ring[gamma] = true, found
    (width, out), (true_width, true_out) = along_and_out(found), along_and_out(true)
    at_mode, near = hits(found)
    lesson.say(f"γ = {gamma}: {at_mode:.2%} of n = {n:,} at the asked mode\n"
               f"  within 3 widths {near:.1%} (exact denoiser: {hits(true)[1]:.1%}), width along "
               f"the ring {width:.3f} ({true_width:.3f}), distance out {out:.3f} ({true_out:.3f})")
    if gamma == 1:
        lesson.check("the ring: share at the asked mode", at_mode, 1.0, "trained", 0.01,
                     why="the bar: more than 99%; 8 runs: 99.85% and more")
        lesson.check("the ring, γ = 1: width along it", width, true_width, "trained", 0.03,
                     why="8 runs: off by up to .011, sd .003")
        lesson.check("the ring, γ = 1: distance out", out, true_out, "trained", 0.03,
                     why="8 runs: off by up to .004, sd .002")
    if gamma == 2:
        lesson.check("the ring, γ = 2: width along it", width, true_width, "trained", 0.09,
                     why="8 runs: off by up to .033, sd .013; γ = 1 is .11 away")
        lesson.check("the ring, γ = 2: distance out", out, true_out, "trained", 0.12,
                     why="8 runs: off by up to .059, sd .014; γ = 1 is .23 away")

# %%
lesson.step("""
    9. A classifier must have seen noise
      1. Step 1 asks for p_t(y|x_t), the label of a *noisy* point. A classifier of clean points
         answers another question: far from all it knows, it is sure, and its slope means nothing.
      2. What the right answer is like at large t: almost p(y), with a small and smooth slope.
      3. To train it: noise each point to a random t, tell the network t, and ask for the label.
    Two classifiers of one kind, the second trained at t = 0 only. Cross-entropy is in nats; nobody
    can be below Bayes.
""")


class Classifier(nn.Module):
    """The logits of the classes of x_t, points of the plane; it is told t."""

    def __init__(self, classes):
        self.net = nn.MLP((2 + 16, 64, 64, classes), generator=rng)

    def forward(self, x, t):
        code = ops.broadcast_to(beside(x, time_embedding(t, 16)), (len(x), 16))
        return self.net(ops.concatenate([x, code], axis=1))


def learn_classes(last, steps=1000):
    """A classifier that sees the steps t = 0 .. last."""
    model = Classifier(8)
    optimiser = optim.Adam(model.parameters(), lr=3e-3)

    def step(i):
        optimiser.lr = 3e-3 * (1 - i / steps)
        y, t = rng.integers(0, 8, 256), rng.integers(0, last + 1, 256)
        x0 = draw(eight, y)
        loss = losses.cross_entropy(model(q_sample(schedule, x0, t, mg.randn(*x0.shape)), t), y)
        minimise(loss, optimiser, model)
        return {"loss": loss}

    train(step, steps)
    return model


noisy, clean = learn_classes(T), learn_classes(0)


def log_class(logits, y):
    """ln p(y|x) of each row, (n,)."""
    rows, columns = (mg.Tensor(index).to(logits.backend) for index in (np.arange(len(y)), y))
    return ops.log_softmax(logits, axis=1)[rows, columns]


x0 = draw(eight, y)
for t in (10, 30, 50):
    x_t = q_sample(schedule, x0, t, mg.randn(n, 2, generator=rng))
    bayes = -on_ring.log_class(x_t, t, y).numpy().mean()
    seen, unseen = (-log_class(logits, y).numpy().mean()
                    for logits in (noisy(x_t, t), clean(x_t, 0)))
    lesson.say(f"t = {t}: Bayes {bayes:.3f}, trained on noise {seen:.3f}, on clean points "
               f"{unseen:.3f} nats")
    lesson.check(f"t = {t}: the cross-entropy, trained on noise", seen, bayes, "trained", 0.06,
                 why="8 runs: above Bayes by up to .036, .009, .009 at t = 10, 30, 50")
lesson.check("t = 50: trained on clean points, what it lacks to ln 8, no answer at all",
             max(0.0, math.log(8) - unseen), 0.0, "trained", 0.01,
             why="10 runs: 13.9 nats and more; ln 8 is 2.08")

near = {}
for name, log_prob in (
    ("Bayes", lambda x, t: on_ring.log_class(x, t, y)),
    ("trained on noise", lambda x, t: log_class(noisy(x, t), y)),
    ("trained on clean points", lambda x, t: log_class(clean(x, 0), y)),
):
    guided = classifier_guidance(ring_net, log_prob, schedule, 1.0)
    at_mode, near[name] = hits(ddim(guided, schedule, start, FEW).numpy())
    lesson.say(f"γ = 1, {name}: {at_mode:.2%} at the asked mode, {near[name]:.1%} within 3 widths")
lesson.check("the classifier trained on noise guides as Bayes does: share within 3 widths",
             near["trained on noise"], near["Bayes"], "trained", 0.06,
             why="8 runs: off by up to .014, sd .01")
lesson.check("the one trained on clean points does not: at most half as many",
             max(0.0, near["trained on clean points"] - near["Bayes"] / 2), 0.0, "trained", 0.01,
             why="8 runs: 15% to 19%, against 92% and more")

# %% Figures


def figure_of_strength():
    """The line, asked for +5 at four strengths: what came, what should, what the power would be."""
    fig, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
    z = np.linspace(-5, 5, 2001)
    maps = ddim_map(np.array([0.0, 1.0, 2.0, 4.0]), schedule, FEW, z)
    for ax, (gamma, found), x0 in zip(axes, by_strength.items(), maps):
        low, high = (-9.5, 9.5) if gamma == 0 else (1.5, 8.5)
        grid = np.linspace(low, high, 400)
        power = (line.components[PLUS].pdf(grid) / line.pdf(grid)) ** gamma * line.pdf(grid)
        ax.hist(found, np.linspace(low, high, 45), density=True, color=LEARNED, alpha=0.35,
                label="trained, sampled")
        ax.plot(x0, Gaussian(0, 1).pdf(z) / np.gradient(x0, z), color=REAL, lw=1.6,
                label="guided, exact")
        ax.plot(grid, power / (power.sum() * (grid[1] - grid[0])), color=THEORY, ls="--", lw=1.3,
                label="p(x) p(y|x)$^γ$")
        ax.set(xlim=(low, high), ylim=(0, None), xlabel="$x_0$")
        ax.set_title(f"γ = {gamma}" + (": does not ask" if gamma == 0 else ""))
    axes[0].set_ylabel("density")
    handles, names = axes[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=3)
    lesson.figure(fig, "strength")


def figure_of_laws():
    """The Gaussian pair: mean and variance against γ, of the three laws."""
    fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    g = np.linspace(0, 4, 21)
    dots = sampled_laws(g, 400)
    r = np.linspace(0, 1, 201)
    over_r = np.trapezoid((1 + r**2) ** ((g[:, None] - 1) / 2), r, axis=1)
    by_ddim = g * 2 ** ((1 - g) / 2) * over_r, 2 ** (1 - g)
    by_ddpm = 2 - 2 ** (1 - g), (2 - 4 ** (1 - g)) / np.where(g == 0.5, np.nan, 2 * g - 1)
    for i, (ax, name) in enumerate(zip(axes, ("mean", "variance"))):
        ax.plot(g, by_ddim[i], color=REAL, label="DDIM, T → ∞")
        ax.plot(g, by_ddpm[i], color=FAKE, label="DDPM, T → ∞")
        ax.plot(g, dots[i], "o", color=REAL, ms=3.5, label="the samplers, T = 400")
        ax.plot(g, dots[2 + i], "o", color=FAKE, ms=3.5)
        ax.plot(g, (2 * g, 2 + 0 * g)[i] / (g + 1), color=THEORY, ls="--", label="p(x) p(c|x)$^γ$")
        ax.set(xlabel="strength γ", ylabel=name)
        ax.set_title(f"{name.capitalize()}: three laws that agree at γ = 0 and 1")
    axes[0].legend()
    lesson.figure(fig, "laws")


def figure_of_ring():
    """The ring, each point coloured by the class that it asked for: exact above, trained below."""
    fig, axes = plt.subplots(2, 3, figsize=(9.6, 6.8), sharex=True, sharey=True,
                             layout="constrained")
    for column_of, (gamma, both) in zip(axes.T, on_the_ring.items()):
        for ax, points in zip(column_of, both):
            for centre in CENTRES:
                ax.add_patch(plt.Circle(centre, 0.44, fill=False, color=THEORY, lw=0.8))
            ax.scatter(*points[:1200].T, s=4, c=y[:1200], cmap="tab10", vmax=9)
            ax.set(xlim=(-3.7, 3.7), ylim=(-3.7, 3.7), aspect="equal", xticks=[], yticks=[])
        column_of[0].set_title(f"γ = {gamma}")
    axes[0, 0].set_ylabel("exact denoiser")
    axes[1, 0].set_ylabel("trained network")
    fig.suptitle("Coloured by the mode asked for; circles: 2 widths of the data")
    lesson.figure(fig, "ring")


def figure_of_fields(t=35, k=1):
    """Bayes' rule in arrows: the trained scores of the ring, and their difference."""
    fig, axes = plt.subplots(1, 3, figsize=(12, 4.3), layout="constrained")
    side = np.linspace(-2.6, 2.6, 17)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    x = mg.Tensor(grid, dtype="float32")
    with mg.no_grad():
        free, told = (score_from_eps(schedule, x, t, ring_net(x, t, label)).numpy()
                      for label in (None, k))
    titles = ("score of p(x)", f"+ slope of ln p(y|x), y = {k}", "= score of p(x|y)")
    for ax, field, title, color in zip(axes, (free, told - free, told), titles,
                                       (REAL, FAKE, LEARNED)):
        ax.quiver(*grid.T, *field.T, color=color, scale=75, width=0.004)
        ax.scatter(*(schedule.signal[t] * CENTRES).T, s=12, color=THEORY)
        ax.scatter(*schedule.signal[t] * CENTRES[k], s=110, marker="*", color=THEORY)
        ax.set(aspect="equal", xticks=[], yticks=[])
        ax.set_title(title)
    fig.suptitle(f"Bayes' rule as the trained network of the ring has it, t = {t}")
    lesson.figure(fig, "fields")


figure_of_strength()
figure_of_laws()
figure_of_ring()
figure_of_fields()

# %%
lesson.step("""
    10. Exercises
      a. For the pair of step 4, at which γ do DDIM and the tilted law have one variance? What is
         between them?
      b. p(x) = N(0, s²), p(x|c) = N(0, σ²). Show that DDIM at γ has the variance σ^2γ s^(2-2γ).
      c. Take the guided score of step 4 at t = 1 and iterate x ← x + h/2 s(x) + √h ε (Langevin).
         Which variance does it settle at? And as h → 0?
      d. Instead of ε_u, guide away from the other class: ε_- + γ (ε_+ - ε_-) on the line, a
         "negative prompt". Which law is that?
    Answers
      a. 2^(1-γ) = 2/(γ + 1), so 2^γ = γ + 1: a convex curve and a line meet twice, at γ = 0 and 1.
         In between DDIM is the wider: at γ = 1/2 √2 = 1.4142 against 4/3.
      b. k = γ/(1 + A(σ² - 1)) + (1 - γ)/(1 + A(s² - 1)), and d ln x/dA = (1 - k)/(2A), which is
         half of γ (σ² - 1)/(1 + A(σ² - 1)) + (1 - γ)(s² - 1)/(1 + A(s² - 1)): the slope of
         γ/2 ln(1 + A(σ² - 1)) + (1 - γ)/2 ln(1 + A(s² - 1)), from 0 to γ ln σ + (1 - γ) ln s.
      c. V = (1 - hk/2)² V + h gives V = 1/(k (1 - hk/4)), with k = 3/2 where no noise is left. As
         h → 0 it is 2/3: the tilted law, at last, for as many steps as that takes.
      d. Both have variance 1, so their means add up: N(-5 + 10γ, 1), exactly. γ = 1 is +5.
""")
half = to_many_steps(*(sampled_laws(np.array([0.5]), steps)[1] for steps in (100, 200, 400)))
lesson.check("exercise a: DDIM's variance at γ = 1/2", half[0], math.sqrt(2), "quadrature",
             float(half[1][0]) + START)


def factor(T, s=1.5, sigma=0.5, gamma=3.0):
    """What DDIM multiplies x_T by."""
    angles = equal_angles(T)
    one, all_of_it = (MixtureDenoiser(GaussianMixture([1.0], [Gaussian(0, width)]), angles)
                      for width in (sigma, s))
    return ddim(classifier_free_guidance(one, all_of_it, gamma), angles, column([1.0])).item()


b, error = to_many_steps(*(factor(steps) for steps in (100, 200, 400)))
lesson.check("exercise b: s = 1.5, σ = .5, γ = 3", b, 0.5**3 * 1.5**-2, "quadrature",
             error + START)
fine = linear_schedule(1000)
k = -np.diff(flat(score_from_eps(fine, column([0, 1]), 1, guided_pair(fine, 2.0)(
    column([0, 1]), 1))))[0]
lesson.check("exercise c: k at t = 1", k, 1.5, tolerance=fine.beta[1])
h, variance = 0.1, 1.0
for _ in range(1000):
    variance = (1 - h * k / 2) ** 2 * variance + h
lesson.check("exercise c: Langevin settles", variance, 1 / (k * (1 - h * k / 4)))
negative = classifier_free_guidance(of_class(on_line, PLUS), of_class(on_line, MINUS), 2.0)
lesson.check("exercise d: γ = 2 draws N(15, 1)", negative(points, 50), MixtureDenoiser(
    GaussianMixture([1.0], [Gaussian(15, 1)]), schedule)(points, 50))

lesson.finish()
