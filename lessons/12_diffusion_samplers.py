"""12. Diffusion samplers: the way back, with noise and without

The question. A denoiser says which noise is in x_t. How does one get from noise to data with it, in
how many steps, and what is the sampler's fault and what the network's?

You will walk back with the *exact* denoiser first: DDPM, which adds fresh noise at each step, and
DDIM, which adds none and turns out to be the map that carries each quantile of the noise to the
same quantile of the data. Then with trained ones: two modes at ±5 with their shares, four sets of
points in the plane, and your own.

You need: the forward process (lesson 10), its loss and the exact denoiser (lesson 11).
Papers: Ho, Jain and Abbeel 2020 (DDPM); Song, Meng and Ermon 2021 (DDIM); Song et al. 2021, score
SDE, section 4.3 (the flow behind DDIM); Salimans and Ho 2022 (v); Polyak and Juditsky 1992 (EMA).

Notation: t = 1..T, ᾱ_0 = 1, x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε; p_t is the density of x_t and F_t its
cdf, Φ that of N(0, 1); β̃_t = β_t (1 - ᾱ_{t-1})/(1 - ᾱ_t).

Your own data:  python lessons/12_diffusion_samplers.py --data FILE  learns from points on the line
or in the plane (text or CSV with one or two columns, with or without a header; or .npy), and leaves
new ones in a file of the same kind.
"""

# %%
import itertools
import math
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from lesson import FAKE, LEARNED, REAL, THEORY, Lesson

import minigen as mg
from minigen import optim
from minigen.data import checkerboard, moons, spiral
from minigen.data.points import PointsError, read_points, write_points
from minigen.densities import Gaussian, GaussianMixture, ring
from minigen.ema import EMA
from minigen.models.denoiser import MLPDenoiser
from minigen.models.diffusion import (eps_from_v, q_sample, score_from_eps, simple_loss,
                                      x0_from_eps)
from minigen.models.mixture_denoiser import MixtureDenoiser
from minigen.models.samplers import ddim, ddpm, some_steps
from minigen.models.schedule import Schedule, linear_schedule
from minigen.training import minimise, train

lesson = Lesson("12_diffusion_samplers", __doc__, arguments=[
    ("--data", {"metavar": "FILE", "help": "learn from your own points: one or two columns of "
                                           "numbers, text, CSV or .npy"}),
])
rng = lesson.rng
T = 100
SCHEDULE = linear_schedule(T)
STEPS = 20_000 if lesson.full else 2500
SPREAD = 3.0  # points of the plane are scaled to this deviation before they are learned
NORMAL = Gaussian(0.0, 1.0)


# %% How a denoiser is trained: for steps 7 and 8, and for your own points
class Fit(NamedTuple):
    """Two denoisers eps(x_t, t): the average of the weights, and those of the last step."""

    averaged: object
    last: object


def saying_eps(net):
    """The denoiser eps(x_t, t) of a network whose output is eps itself."""
    return net


def saying_v(net):
    """The denoiser eps(x_t, t) of a network whose output is taken for v."""
    return lambda x, t: eps_from_v(SCHEDULE, x, t, net(x, t))


class Recipe(NamedTuple):
    """How to train: the denoiser that a network is, its width, the size of a batch, and the step
    size, which goes from rates[0] to rates[1] on a straight line."""

    says: object
    width: int
    batch: int
    rates: tuple[float, float]


LINE = Recipe(saying_eps, 64, 512, (3e-3, 1e-3))
PLANE = Recipe(saying_v, 96, 256, (8e-3, 0.0))


def fit(draw, features, recipe, steps, label):
    """Minimise L_simple on points by draw(n), (n, features).

    A gradient longer than 1 is shortened: the first steps, with a large step size, may else throw
    the network far off.
    """
    says, width, batch, rates = recipe
    net = MLPDenoiser(features, (width, width, width), generator=rng)
    ema = EMA(net, 0.998)
    optimiser = optim.Adam(net.parameters())

    def step(i):
        optimiser.lr = rates[0] + (rates[1] - rates[0]) * i / steps
        x0 = mg.Tensor(draw(batch), dtype="float32")
        noise = mg.randn(batch, features, generator=rng)
        t = SCHEDULE.draw_steps(batch, rng)
        loss = simple_loss(says(net), SCHEDULE, x0, t, noise)
        minimise(loss, optimiser, net, max_norm=1.0)
        ema.update()
        return {"L_simple": loss}

    train(step, steps, label=label)
    return Fit(says(ema.model), says(net))


def noise(*shape):
    """x_T, float32."""
    return mg.randn(*shape, generator=rng)


# %% Your own points (nothing here happens without --data)
LEAST, MOST = 20, 10_000  # points to learn from, at the least; new ones, at the most


def read_own(path):
    """A file of points. Raises PointsError for one that cannot be learned from."""
    own = read_points(path)
    n, columns = own.points.shape
    if n < LEAST:
        raise PointsError(f"{path}: has {n} points, expected {LEAST} or more")
    for column in range(columns):
        with np.errstate(over="ignore", invalid="ignore"):
            std = own.points[:, column].std()
        if not 0 < std < math.inf:
            raise PointsError(f"{path}, column {column + 1}: has the standard deviation {std:g}, "
                              "expected a positive one")
    return own


def learn_from(path):
    """Train a denoiser on a file of points, sample as many, and draw both."""
    own = read_own(path)
    data = own.points
    n, columns = data.shape
    lesson.say(f"{n:,} points of {columns} column{'s' * (columns > 1)} from {path}")
    centre, scale = data.mean(axis=0), data.std(axis=0) / SPREAD
    learned = fit(lambda count: (data[rng.integers(0, n, count)] - centre) / scale, columns,
                  PLANE, STEPS, "your points")
    start = noise(min(n, MOST), columns)
    samples = centre + scale * ddim(learned.averaged, SCHEDULE, start).numpy().astype(np.float64)
    out = Path(lesson.args.out) / f"{lesson.name}_samples{path.suffix}"
    write_points(out, samples, own)
    print(f"{len(samples):,} new points: {out}")
    print(f"figure: {lesson.figure(figure_of_points(own, samples), 'own')}")


def figure_of_points(own, samples):
    """Histograms of points on the line, or two clouds of points side by side."""
    data = own.points
    names = own.header.replace(",", " ").split()
    names = names if len(names) == data.shape[1] else ["x", "y"]
    both = np.concatenate([data, samples])
    kinds = [(data, REAL, "your points"), (samples, LEARNED, "new points")]
    if data.shape[1] == 1:
        fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
        bins = np.linspace(both.min(), both.max(), min(80, 10 + len(data) // 20))
        for points, color, name in kinds:
            ax.hist(points.ravel(), bins, density=True, color=color, alpha=0.5,
                    label=f"{name}, n = {len(points):,}")
        ax.set(xlabel=names[0], ylabel="density")
        ax.legend()
        return fig
    fig, axes = plt.subplots(1, 2, figsize=(10, 5), sharex=True, sharey=True, layout="constrained")
    for ax, (points, color, name) in zip(axes, kinds):
        ax.scatter(*points.T, s=4, color=color, alpha=0.5, linewidths=0)
        ax.set_title(f"{name}, n = {len(points):,}")
        ax.set_xlabel(names[0])
    axes[0].set_ylabel(names[1])
    return fig


if lesson.args.data:
    try:
        learn_from(Path(lesson.args.data))
    except PointsError as error:
        lesson.refuse(error)
    raise SystemExit(0)


# %%
lesson.step("""
    1. DDPM: a step back is a Gaussian, but how wide?
    x_{t-1} = (x_t - β_t/√(1 - ᾱ_t) ε̂)/√α_t + σ_t z,  z ~ N(0, I),  and no z at the last step.
    Claim. σ_t² = β_t is exact where the data are N(0, 1), σ_t² = β̃_t where they are one point.
      1. *x_0 ~ N(0, 1).* Then x_t ~ N(0, 1) for all t, its score is -x, and ε* = √(1 - ᾱ_t) x_t.
      2. The mean of the step is (x_t - β_t x_t)/√α_t = √α_t x_t, with the variance α_t. What lacks
         of 1 is β_t: with σ_t² = β_t every x_t is N(0, 1) again, with any smaller one too narrow.
      3. *x_0 = 0.* x_t ~ N(0, 1 - ᾱ_t), and ε* = x_t/√(1 - ᾱ_t). The mean of the step has the
         variance α_t (1 - ᾱ_{t-1})²/(1 - ᾱ_t), and with β̃_t added that is 1 - ᾱ_{t-1}.
      4. *x_0 ~ N(0, s²).* Let v_t² = ᾱ_t s² + 1 - ᾱ_t be the variance of x_t. By Bayes' rule for
         Gaussians x_{t-1} given x_t has the variance β_t v_{t-1}²/v_t²: β̃_t for s = 0, β_t for
         s = 1, more for s > 1. For many small steps all are alike, and either is used.
      5. The last step draws no z: the noise would be on the data. There β̃_1 = 0 anyway, but
         σ_1² = β_1 would not be.
    With a linear denoiser x_0 is a sum of x_T and the z_t, each times a number. We send a 1
    through each in turn; the squares of the answers add up to the variance: no chance in it.
""")


class Impulses:
    """In place of a random generator: draw k is 1 for point k and 0 for all others."""

    drawn = 0

    def standard_normal(self, shape, dtype):
        self.drawn += 1
        z = np.zeros(shape, dtype)
        z[self.drawn] = 1
        return z


def exact(law, schedule=SCHEDULE):
    """The denoiser that knows the law of the data: a mixture, or a Gaussian on the line."""
    law = law if isinstance(law, GaussianMixture) else GaussianMixture([1.0], [law])
    return MixtureDenoiser(law, schedule)


def column(values, dtype="float64"):
    """Points on the line as a Tensor (n, 1); networks take float32."""
    return mg.Tensor(np.reshape(values, (-1, 1)), dtype=dtype)


def ddpm_variances(std, variance, start=1.0):
    """The variance of x_t for t = 0 .. T, for data N(0, std²) and x_T ~ N(0, start²)."""
    path = {}
    x = column(start * np.eye(1, T + 1))  # x_T is the impulse of point 0
    ddpm(exact(Gaussian(0.0, std)), SCHEDULE, x, variance, Impulses(), path.__setitem__)
    return np.array([(path[t] * path[t]).sum().item() for t in range(T + 1)])


of_normal = ddpm_variances(1.0, SCHEDULE.beta)
lesson.check("N(0, 1), σ² = β: variance 1 at t = T .. 1", of_normal[1:], 1.0)
lesson.check("N(0, 1), σ² = β: no noise at the last step", of_normal[0], SCHEDULE.alpha[1])
narrow = 1.0
for t in range(T, 0, -1):
    narrow = SCHEDULE.alpha[t] * narrow + SCHEDULE.beta_tilde[t]
lesson.say(f"N(0, 1) with σ² = β̃ in {T} steps: the variance is {narrow:.4f}, where 1 is wanted")
lesson.check("N(0, 1), σ² = β̃: the variance is less", ddpm_variances(1.0, SCHEDULE.beta_tilde)[0],
             narrow)
of_point = ddpm_variances(1e-9, SCHEDULE.beta_tilde, SCHEDULE.noise[T])
lesson.check("a point, σ² = β̃: variance 1 - ᾱ at all t", of_point, 1 - SCHEDULE.alpha_bar)
s = 0.5
v = np.sqrt(SCHEDULE.alpha_bar * s**2 + 1 - SCHEDULE.alpha_bar)
between = np.append(0.0, SCHEDULE.beta[1:] * (v[:-1] / v[1:]) ** 2)
lesson.check("N(0, s²), σ² = β v_{t-1}²/v_t²: variance v² at t = T .. 1",
             ddpm_variances(s, between, v[T])[1:], v[1:] ** 2)
modes = GaussianMixture([0.3, 0.7], [Gaussian(-5.0, 0.5), Gaussian(5.0, 0.5)])
modes_eps = exact(modes)
for name, variance in (("β", SCHEDULE.beta), ("β̃", SCHEDULE.beta_tilde)):
    path = {}
    ddpm(modes_eps, SCHEDULE, column(rng.standard_normal(50)), variance, rng, path.__setitem__)
    lesson.check(f"±5, σ² = {name}: the last stop is the denoiser's x_0", path[0],
                 x0_from_eps(SCHEDULE, path[1], 1, modes_eps(path[1], 1)))

# %%
lesson.step("""
    2. DDIM: the same noise all the way
    Claim. From t to any s < t:  x_s = √ᾱ_s x̂_0 + √(1 - ᾱ_s - σ²) ε̂ + σ z,  for any σ.
      1. ε̂ is a guess of the noise in x_t, and gives a guess of the point,
         x̂_0 = (x_t - √(1 - ᾱ_t) ε̂)/√ᾱ_t. Were they right, x_s would be √ᾱ_s x_0 plus noise of the
         variance 1 - ᾱ_s - σ² + σ²: whatever σ is, x_s has the law that it should have.
      2. σ = η √((1 - ᾱ_s)/(1 - ᾱ_t)) √(1 - ᾱ_t/ᾱ_s). For s = t - 1 and η = 1, σ² = β̃_t, and the
         step is DDPM's: put x̂_0 into the mean of q(x_{t-1}|x_t, x_0).
      3. η = 0 adds nothing: x_T alone decides. This is DDIM.
      4. *One Gaussian, N(0, s²).* With v_t as in step 1 there is an angle φ_t such that
         √ᾱ_t s = v_t cos φ_t  and  √(1 - ᾱ_t) = v_t sin φ_t.  Then ε* = sin φ_t x_t/v_t and
         x̂_0 = s cos φ_t x_t/v_t, so that
         x_s/v_s = (cos φ_s cos φ_t + sin φ_s sin φ_t) x_t/v_t = cos(φ_t - φ_s) x_t/v_t.
      5. A step is right but for the factor cos Δφ < 1. In steps of equal Δφ = φ/k:
         cos(φ/k)^k ≈ 1 - φ²/2k. From noise to data φ ≈ π/2: k steps lose π²/8k of the width, that
         is 5% with 25 steps, 1% with 100.
""")
x_T = column(rng.standard_normal(200))
draws = [np.random.default_rng(lesson.seed) for _ in range(2)]
lesson.check("DDIM with η = 1 = DDPM with β̃, the same noise",
             ddim(modes_eps, SCHEDULE, x_T, eta=1.0, generator=draws[0]),
             ddpm(modes_eps, SCHEDULE, x_T, generator=draws[1]))
phi = np.arctan2(SCHEDULE.noise, SCHEDULE.signal * s)
factors, wanted = [], []
for count in (1, 4, 25, 100):
    steps = some_steps(T, count)
    factors.append(ddim(exact(Gaussian(0.0, s)), SCHEDULE, column(1.0), steps).item())
    wanted.append(s / v[T] * np.cos(np.diff(phi[[0, *steps]])).prod())
lesson.check("N(0, s²): DDIM multiplies by (s/v_T) Π cos Δφ", factors, wanted)
turn = 1.5  # φ_T; π/2 would be an ᾱ_T of 0
even = Schedule(1 - np.exp(np.diff(2 * np.log(np.cos(np.linspace(0, turn, 61))))))
counts = np.array([1, 2, 5, 20, 60])
lost = [1 - ddim(exact(NORMAL, even), even, column(1.0), some_steps(60, k)).item() for k in counts]
lesson.check("k equal angles: width lost, 1 - cos(φ/k)^k", lost, 1 - np.cos(turn / counts)**counts)
lesson.check("60 equal angles: k times the width lost = φ²/2", 60 * lost[-1], turn**2 / 2,
             "quadrature", turn**4 / (8 * 60), why="the next term of the series")

# %%
lesson.step("""
    3. On the line, DDIM is the map of quantiles
    Claim. In small steps DDIM carries x_T to  x_0 = F_0⁻¹(F_T(x_T)).
      1. With y = x/√ᾱ and r = √(1 - ᾱ)/√ᾱ the step of DDIM is  y_s = y_t + (r_s - r_t) ε*:  Euler's
         method for  dy/dr = ε*.
      2. y = x_0 + r ε has the density p_r with ∂p_r/∂r = r ∂²p_r/∂y² (diffusion). And
         ε* = -r ∂ln p_r/∂y, so  ∂p_r/∂r = -∂(p_r ε*)/∂y:  the equation of a mass that flows with
         the velocity ε*. So the flow dy/dr = ε* carries p_T to p_0, every p_t on the way.
      3. Paths of a flow never cross. On the line then the mass to the left of a path stays what it
         is: F_t(x_t) = F_T(x_T), all along.
      4. *Where does the path change mode?* For .3/.7 at ±5, at F_T(x_T) = .3. If x_T were N(0, 1),
         that were Φ⁻¹(.3) = -.524. It is not: a little of the data is left, m = 5√ᾱ_T, and
         p_T is .3 N(-m, v²) + .7 N(m, v²). Its mean is .4 m, and to first order all its quantiles
         are shifted by that: .0127 for T = 1000. The threshold is -.51.
      5. Who starts from N(0, 1) nevertheless gets the left mode with the share Φ(-.5117) = .3044.
         That is the price of an ᾱ_T that is not 0, and no network can mend it.
    The tolerance is twice what half as many steps change: Euler's error falls like 1/steps.
""")
LONG = linear_schedule(1000)


def law_at(law, schedule, t):
    """The law of x_t: a mixture again."""
    signal, noise_level = schedule.signal[t], schedule.noise[t]
    return GaussianMixture(law.weights, [
        Gaussian(signal * p.mean, math.hypot(signal * p.std, noise_level)) for p in law.components])


def quantile_map(law, schedule, x):
    """F_0⁻¹(F_T(x))."""
    return law.quantile(law_at(law, schedule, schedule.T).cdf(x))


def walk(x, eps, schedule, steps=None, dtype="float64"):
    """What DDIM makes of these x_T, an array."""
    return ddim(eps, schedule, column(x, dtype), steps).numpy().ravel().astype(np.float64)


long_eps = exact(modes, LONG)
ranks = np.array([0.02, 0.1, 0.2, 0.28, 0.32, 0.4, 0.6, 0.8, 0.98])
starts = law_at(modes, LONG, 1000).quantile(ranks)
path = {}
ends = ddim(long_eps, LONG, column(starts), watch=path.__setitem__).numpy().ravel()
halved = walk(starts, long_eps, LONG, some_steps(1000, 500))
lesson.check("x_0 = F_0⁻¹(F_T(x_T)) at nine ranks", ends, modes.quantile(ranks), "quadrature",
             2 * abs(ends - halved).max())
kept = np.array([law_at(modes, LONG, t).cdf(path[t].numpy().ravel()) for t in range(0, 1001, 50)])
half_path = {}
ddim(long_eps, LONG, column(starts), some_steps(1000, 500), watch=half_path.__setitem__)
kept_half = np.array([law_at(modes, LONG, t).cdf(half_path[t].numpy().ravel())
                      for t in range(0, 1001, 50)])
lesson.check("F_t(x_t) stays what it is, all along", kept, np.broadcast_to(ranks, kept.shape),
             "quadrature", 2 * abs(kept - kept_half).max())
crowd = np.linspace(-3, 3, 601)
lesson.check("paths that cross, of 600 neighbours",
             (np.diff(walk(crowd, long_eps, LONG)) <= 0).sum(), 0)


def threshold(eps, schedule, steps=None, dtype="float64"):
    """The x_T below which DDIM ends in the left mode."""
    low, high = -1.0, 1.0
    for _ in range(3):  # each time, 1/100 of the interval
        tried = np.linspace(low, high, 101)
        first = int((walk(tried, eps, schedule, steps, dtype) > 0).argmax())
        low, high = tried[first - 1], tried[first]
    return (low + high) / 2


cut = threshold(long_eps, LONG)
cut_half = threshold(long_eps, LONG, some_steps(1000, 500))
p_T = law_at(modes, LONG, 1000)
lesson.say(f"the path changes mode at x_T = {cut:.4f}; F_T⁻¹(.3) = {p_T.quantile(0.3):.4f}, "
           f"Φ⁻¹(.3) = {NORMAL.quantile(0.3):.4f}, mean of p_T = {p_T.mean:.4f}")
lesson.check("threshold for .3/.7 = F_T⁻¹(.3)", cut, p_T.quantile(0.3), "quadrature",
             2 * abs(cut - cut_half) + 2e-6)
lesson.check("... in numbers", cut, -0.51, "quadrature", 0.005)
m = 5 * LONG.signal[1000]
lesson.check("F_T⁻¹(.3) - Φ⁻¹(.3) = mean of p_T, to first order",
             p_T.quantile(0.3) - NORMAL.quantile(0.3), 0.4 * m, "quadrature", m**2,
             why="the next order: m²")
lesson.check("... and p_T's mean is .4 · 5√ᾱ_T", p_T.mean, 0.4 * m)
lesson.check("started from N(0, 1): share of the left mode", NORMAL.cdf(cut), 0.3044, "quadrature",
             5e-4)
equal = GaussianMixture([0.5, 0.5], modes.components)
lesson.check("threshold for .5/.5", threshold(exact(equal, LONG), LONG), 0.0, tolerance=2e-6)

# %%
lesson.step("""
    4. The T trap
    Claim. β = .0001 .. .02 is meant for T = 1000. With T = 100 and the same β nothing complains,
    and the samples are wrong.
      1. ᾱ_T ≈ exp(-Σ β_t), with Σ β_t = 10.05 for T = 1000, and 1.005 for T = 100: ᾱ_T = .36.
         x_T is then not noise. It has modes at ±5 · .60 = ±3.02, with a gap where N(0, 1) has its
         peak.
      2. The sampler is still right: it maps by F_0⁻¹ ∘ F_T. But it is started from N(0, 1), in the
         gap, which F_T takes for the modes' inner tails: it ends 1.5 too far inside.
      3. With β · 1000/T the sum, and so ᾱ_T, is what it was.
    Measured: the median over x_T on an even grid from -3 to 3 of |DDIM(x_T) - F_0⁻¹(Φ(x_T))|, for
    .3/.7 at ±5 with deviation .5, exact denoiser, all T steps. The second number is what the map
    predicts.
""")
TRAP = Schedule(np.linspace(1e-4, 0.02, 100))
ideal = modes.quantile(NORMAL.cdf(crowd))
errors, report = {}, []
for name, schedule in (("T = 1000", LONG), ("T = 100, β rescaled", SCHEDULE),
                       ("T = 100, β as for 1000", TRAP)):
    errors[name] = np.median(abs(walk(crowd, exact(modes, schedule), schedule) - ideal))
    predicted = np.median(abs(quantile_map(modes, schedule, crowd) - ideal))
    report.append(f"{name:23} ᾱ_T = {schedule.alpha_bar[-1]:8.2g}   median error "
                  f"{errors[name]:.4f}, by the map {predicted:.4f}")
lesson.say("\n".join(report))
lesson.check("Σ β for T = 100, rescaled, and for 1000", SCHEDULE.beta.sum(), LONG.beta.sum())
lesson.check("T = 100, β rescaled: as good as T = 1000, but for Euler's error",
             errors["T = 100, β rescaled"], errors["T = 1000"], "quadrature", 0.03,
             why="10 times T = 1000's .0014, twice")
lesson.check("T = 1000: median error", errors["T = 1000"], 0.009, "quadrature", 5e-4)
lesson.check("T = 100, β as for 1000: median error", errors["T = 100, β as for 1000"], 1.49,
             "quadrature", 0.005)
lesson.check("... and the map predicts it", errors["T = 100, β as for 1000"],
             np.median(abs(quantile_map(modes, TRAP, crowd) - ideal)), "quadrature", 0.02,
             why="Euler's error, T = 100")

# %%
lesson.step("""
    5. How many steps?
    Claim. With an exact denoiser DDIM's error falls like 1/steps.
      1. Euler's method errs by about (Δr)²/2 times the path's curvature in each step, so by a
         number that is proportional to 1/k in k steps. Step 2 has it exactly for one Gaussian.
      2. DDPM cannot leave steps out so easily: its Gaussian is the right law of a step only if the
         step is small. DDIM with η = 1 and few steps has the same trouble.
    Measured: the median over 200 ranks of |x_0 - F_0⁻¹(F_T(x_T))|, for .3/.7 at ±5.
""")
ranks = (np.arange(200) + 0.5) / 200
starts = law_at(modes, LONG, 1000).quantile(ranks)


def error_of(count):
    """The median error of DDIM with so many of 1000 steps."""
    ends = walk(starts, long_eps, LONG, some_steps(1000, count))
    return np.median(abs(ends - modes.quantile(ranks)))


counts = np.array([5, 10, 20, 50, 100, 200, 500, 1000])
by_steps = np.array([error_of(count) for count in counts])
lesson.say("\n".join(f"{k:5} steps: {error:.4f}" for k, error in zip(counts, by_steps)))
lesson.check("error with 500 steps over error with 1000", by_steps[-2] / by_steps[-1], 2.0,
             "quadrature", 0.1, why="the next term, 1/steps²")

# %%
lesson.step("""
    6. DDPM and DDIM at ±5, with the exact denoiser
    Both start from N(0, 1). What is left of the error is the sampler's.
      1. The weights come from x_T and from the first steps, the widths from the last ones.
      2. DDPM's width: near a mode the denoiser is that of one Gaussian, and step 1's impulses tell
         what T steps make of it: with β̃ a little less than .5, with β a little more.
      3. A mode's width is half of the distance between its quantiles at 16% and 84%, Φ(±1), so that
         one point on its way between the modes does not count more than others. For n normal
         numbers its standard error is .96 width/√n.
""")


def at_modes(x):
    """(share, mean, width) of the left and of the right mode, (2, 3)."""
    sides = [x[x < 0], x[x >= 0]]
    width = [np.diff(np.quantile(side, NORMAL.cdf([-1.0, 1.0])))[0] / 2 for side in sides]
    return np.array([[len(side) / len(x), side.mean(), w] for side, w in zip(sides, width)])


n = 10_000
for name, variance in (("β̃", SCHEDULE.beta_tilde), ("β", SCHEDULE.beta)):
    found = at_modes(ddpm(modes_eps, SCHEDULE, column(rng.standard_normal(n)), variance,
                          rng).numpy().ravel())
    width = math.sqrt(ddpm_variances(0.5, variance)[0])
    lesson.say(f"DDPM with σ² = {name}: width {width:.4f} by step 1, {found[:, 2].round(4)} drawn")
    lesson.check(f"DDPM, exact, {name}: share of the left mode", found[0, 0], 0.3, "monte-carlo",
                 n=n, standard_error=math.sqrt(0.21 / n))
    for side, share, mean in ((0, 0.3, -5.0), (1, 0.7, 5.0)):
        lesson.check(f"DDPM, exact, {name}: mean of the mode at {mean:+.0f}", found[side, 1], mean,
                     "monte-carlo", n=n, standard_error=0.5 / math.sqrt(share * n))
        lesson.check(f"DDPM, exact, {name}: width of the mode at {mean:+.0f}", found[side, 2],
                     width, "monte-carlo", n=n, standard_error=0.48 / math.sqrt(share * n))
even_starts = NORMAL.quantile((np.arange(4000) + 0.5) / 4000)
found = at_modes(walk(even_starts, modes_eps, SCHEDULE))
lesson.check("DDIM, exact: share of the left mode, F_T⁻¹(.3) put into Φ", found[0, 0],
             NORMAL.cdf(law_at(modes, SCHEDULE, T).quantile(0.3)), "quadrature", 0.004,
             why="4000 starts, and Euler's error of .002")

# %%
lesson.step("""
    7. The trained denoiser at ±5
    Now a network, told nothing but samples: L_simple, as in lesson 11.
      1. *Its weights are averaged.* Each step follows the gradient of one batch, so the weights
         jitter about the minimum, the more the larger the step size. w̄ <- .998 w̄ + .002 w
         averages the last 500 or so, and the jitter cancels. Sample with w̄, never with w.
      2. L_simple cannot fall to 0. What is left over its floor is the excess E|ε̂ - ε*|²: here ε*
         is known, and the excess is measured, for both.
      3. *What an excess does to the shares.* In step 3's y and r, DDIM adds up ∫ε̂ dr, and r goes
         to 1/√ᾱ_T, so that an error δ of ε̂ at large t moves x_T's threshold by about δ, and the
         share of a mode by .35 δ, .35 being the normal density there: .01 for δ = .03.
    DDIM starts from 4,000 even quantiles of N(0, 1): no chance in it. A *sample* of 4,000 would
    have the standard error .0072 (.3/.7) or .0079 (.5/.5) in the share of a mode, and the network
    is to stay within three of these. DDPM starts from a sample.
""")


def excesses(denoisers, law, n=20_000):
    """E|ε̂ - ε*|² of each denoiser, over t uniform, x_t as in training."""
    t = SCHEDULE.draw_steps(n, rng)
    x = q_sample(SCHEDULE, column(law.sample(n, rng), "float32"), t, noise(n, 1))
    with mg.no_grad():
        perfect = exact(law)(x, t)
        return [((denoiser(x, t) - perfect) ** 2).mean().item() for denoiser in denoisers]


trained = {}
for share, law in ((0.5, equal), (0.3, modes)):
    name = f"{share:g}/{1 - share:g}".replace("0.", ".")
    learned = fit(lambda count: law.sample(count, rng).reshape(-1, 1), 1, LINE, STEPS,
                  f"±5 at {name}")
    trained[share] = learned.averaged
    over, over_last = excesses(learned, law)
    lesson.say(f"{name}: excess over the floor {over:.5f} with averaged weights, {over_last:.5f} "
               "with the last")
    lesson.check(f"{name}, trained: excess over the floor", over, 0.0, "trained", 0.0015,
                 why="8 runs: .0007, sd .0001; + 8 sd")
    lesson.check(f"{name}, trained: excess, averaged over last weights", over / over_last, 0.0,
                 "trained", 0.7, why="8 runs: .22, sd .07; + 7 sd")
    standard_error = math.sqrt(share * (1 - share) / 4000)
    by_ddim = at_modes(walk(even_starts, learned.averaged, SCHEDULE, dtype="float32"))
    by_ddpm = at_modes(ddpm(learned.averaged, SCHEDULE, noise(4000, 1),
                            generator=rng).numpy().ravel().astype(np.float64))
    for kind, found in (("DDIM", by_ddim), ("DDPM", by_ddpm)):
        lesson.say(f"{kind}: share {found[0, 0]:.4f}, means {found[:, 1].round(3)}, widths "
                   f"{found[:, 2].round(3)}")
        lesson.check(f"{name}, trained, {kind}: means of the modes", found[:, 1], [-5.0, 5.0],
                     "trained", 0.09, why="8 runs: .03 off, sd .01; + 6 sd")
    lesson.check(f"{name}, trained, DDIM: widths of the modes", by_ddim[:, 2], 0.5, "trained", 0.09,
                 why="8 runs: .02 off, sd .01; + 7 sd")
    lesson.check(f"{name}, trained, DDPM: widths of the modes", by_ddpm[:, 2],
                 math.sqrt(ddpm_variances(0.5, SCHEDULE.beta_tilde)[0]), "trained", 0.08,
                 why="12 runs: .012 off, sd .01; + 7 sd")
    lesson.check(f"{name}, trained, DDIM: share of the left mode", by_ddim[0, 0], share, "trained",
                 3 * standard_error, why=f"3 standard errors of {standard_error:.4f}, n = 4,000")
    lesson.check(f"{name}, trained, DDPM: share of the left mode", by_ddpm[0, 0], share,
                 "monte-carlo", n=4000, standard_error=standard_error)
cut_trained = threshold(trained[0.3], SCHEDULE, dtype="float32")
lesson.say(f".3/.7, trained: the path changes mode at x_T = {cut_trained:.4f}")

# %%
lesson.step("""
    8. Points of the plane
    Claim. The same recipe learns what has no formula: two moons, a spiral, a checkerboard, a ring
    of eight.
      1. Two samples of n points of *one* law are not at distance 0 (lesson 06, exercise c). So a
         model is judged beside a fresh sample of the data: ratio = distance(model's sample, data) /
         distance(fresh data, data), all of n = 2,000. A perfect model has the ratio 1. The bar is
         1.5: there the model's own error is as large as the chance of the draw, or hardly larger,
         as the two add like the sides of a right angle, 1.5² = 1 + 1.1².
      2. The distance is the sliced Wasserstein distance: look at both samples from 64 directions,
         and average W1 of the shadows. On the line W1 is the mean of |x_(i) - y_(i)|, in order.
      3. Numerator and denominator are random: means over all pairs of 8 samples of the model and
         20 of the data.
      4. Points are scaled to a deviation of 3 before they are learned. A network finds detail
         sooner in larger numbers; and as at ±5, ᾱ_T leaves little of them.
      5. The network says v: at large t nearly all of x_t is noise, and what matters is the small
         rest. ε = √ᾱ v + √(1 - ᾱ) x_t writes the large part down; the network adds the rest.
""")


SETS = {"moons": moons, "spiral": spiral, "checkerboard": checkerboard,
        "8-ring": ring(8, 1.4, 0.1).sample}
DIRECTIONS = np.pi * (np.arange(64) + rng.random()) / 64


def shadows(points):
    """Points (n, 2) seen from each of the directions, and put in order: (n, 64)."""
    return np.sort(points @ [np.cos(DIRECTIONS), np.sin(DIRECTIONS)], axis=0)


def sliced(pairs):
    """The mean sliced W1 of pairs of shadows."""
    return np.mean([abs(x - y).mean() for x, y in pairs])


class Plane(NamedTuple):
    """A set of points, what was learned from it, in units of `scale`, and new points."""

    draw: object
    scale: float
    denoiser: object
    samples: np.ndarray


N, MODELS, DATA = 2000, 8, 20  # points in a sample; samples of each kind
planes, report = {}, []
for name, draw in SETS.items():
    scale = draw(20_000, rng).std() / SPREAD
    learned = fit(lambda n: draw(n, rng) / scale, 2, PLANE, STEPS, name)
    samples = scale * ddim(learned.averaged, SCHEDULE, noise(MODELS * N, 2),
                           some_steps(T, 50)).numpy().astype(np.float64)
    planes[name] = Plane(draw, scale, learned.averaged, samples)
    of_model = [shadows(sample) for sample in samples.reshape(MODELS, N, 2)]
    of_data = [shadows(draw(N, rng)) for _ in range(DATA)]
    report.append((name, sliced(itertools.product(of_model, of_data)),
                   sliced(itertools.combinations(of_data, 2))))
lesson.say("\n".join(f"{name:13} model to data {model:.4f}   data to data {fresh:.4f}   ratio "
                     f"{model / fresh:.2f}" for name, model, fresh in report))
for name, model, fresh in report:
    lesson.check(f"{name}: sliced W1, model's over a fresh sample's", model / fresh, 1.0, "trained",
                 0.5, why="the bar, 1.5; 16 runs: 1.12, sd .07")

# %%
STEP_SHOWN, ARROWS_AT = 30, 15


def figure_of_paths():
    """Trained DDPM and DDIM at .3/.7, and the quantile map."""
    starts = NORMAL.quantile((np.arange(24) + 0.5) / 24)
    fig, axes = plt.subplots(1, 3, figsize=(14, 4.6), layout="constrained",
                             width_ratios=[1, 1, 0.9])
    height = np.linspace(-7.5, 7.5, 400)
    carpet = np.array([law_at(modes, SCHEDULE, t).pdf(height) for t in range(T + 1)])
    for ax, (name, sampler, options) in zip(axes, (
            ("DDPM: each step adds noise", ddpm, {"generator": rng}),
            ("DDIM: paths do not cross", ddim, {}))):
        path = {}
        sampler(trained[0.3], SCHEDULE, column(starts, "float32"), watch=path.__setitem__,
                **options)
        paths = np.array([path[t].numpy().ravel() for t in range(T + 1)])
        ax.pcolormesh(np.arange(T + 1), height, np.sqrt(carpet.T), cmap="Greys", vmax=1.6,
                      rasterized=True)
        for one in paths.T:
            ax.plot(np.arange(T + 1), one, color=FAKE if one[0] < 0 else REAL, lw=0.9, alpha=0.9)
        ax.set(xlim=(T, 0), ylim=(-7.5, 7.5), xlabel="t, from noise to data", ylabel="$x_t$")
        ax.set_title(name)
    draw_quantile_map(axes[2])
    lesson.figure(fig, "paths")


def draw_quantile_map(ax):
    x = np.linspace(-2.6, 2.6, 800)
    ax.plot(x, quantile_map(modes, SCHEDULE, x), color=THEORY, ls="--", lw=1.6,
            label=r"$F_0^{-1}(F_T(x_T))$")
    few = np.linspace(-2.6, 2.6, 53)
    ax.plot(few, walk(few, trained[0.3], SCHEDULE, dtype="float32"), "o", color=LEARNED, ms=4,
            label="DDIM, trained")
    cut = law_at(modes, SCHEDULE, T).quantile(0.3)
    ax.axvline(cut, color=THEORY, lw=0.7, ls=":")
    ax.annotate(f"$x_T$ = {cut:.3f}:\nthe path\nchanges mode", (cut, 0), (-2.5, 1.2),
                arrowprops={"arrowstyle": "->", "color": THEORY}, color=THEORY)
    ax.set(xlabel="$x_T$", ylabel="$x_0$", ylim=(-7.5, 7.5))
    ax.set_title("DDIM is the map of quantiles")
    ax.legend(loc="lower right")


def figure_of_steps():
    """DDIM's error against its steps; and the T trap, as maps."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    left.loglog(counts, by_steps, "o-", color=LEARNED, label="±5 at .3/.7, exact denoiser")
    left.loglog(counts, by_steps[-1] * 1000 / counts, color=THEORY, ls="--", label="∝ 1/steps")
    left.set(xlabel="steps of DDIM", ylabel="median error of $x_0$")
    left.set_title("Ten times the steps, a tenth of the error")
    left.legend()
    right.fill_between(crowd, 24 * NORMAL.pdf(crowd) - 7.5, -7.5, color=THEORY, alpha=0.1,
                       label="N(0, 1), from where samplers start")
    right.fill_between(crowd, 24 * law_at(modes, TRAP, 100).pdf(crowd) - 7.5, -7.5, color=FAKE,
                       alpha=0.2, label="$p_T$ for T = 100 with the β of 1000")
    for schedule, color, name in ((TRAP, FAKE, "T = 100, β of 1000"),
                                  (SCHEDULE, LEARNED, "T = 100, β rescaled")):
        right.plot(crowd, walk(crowd, exact(modes, schedule), schedule), color=color, lw=1.8,
                   label=name)
    right.plot(crowd, ideal, color=THEORY, ls="--", lw=1.2, label=r"wanted: $F_0^{-1}(\Phi(x_T))$")
    right.set(xlabel="$x_T$", ylabel="$x_0$", ylim=(-7.5, 12.5), xlim=(-3, 3))
    right.set_title("The T trap: a right sampler, started in the wrong place")
    right.legend(loc="upper left", fontsize=8.5, ncols=2)
    lesson.figure(fig, "steps")


def figure_of_sets():
    """For each set: data, noise on the way, the learned score there, and samples."""
    fig, axes = plt.subplots(4, 4, figsize=(12, 12.2), layout="constrained")
    for column_of_axes, (name, plane) in zip(axes.T, planes.items()):
        data = plane.draw(N, rng)
        x0 = mg.Tensor(data / plane.scale, dtype="float32")
        noisy = plane.scale * q_sample(SCHEDULE, x0, STEP_SHOWN, noise(N, 2)).numpy()
        for ax, points, color in ((column_of_axes[0], data, REAL), (column_of_axes[1], noisy, FAKE),
                                  (column_of_axes[3], plane.samples[:N], LEARNED)):
            ax.scatter(*points.T, s=3, color=color, alpha=0.6, linewidths=0)
        draw_score(column_of_axes[2], plane, data)
        for ax in column_of_axes:
            ax.set(aspect="equal", xlim=(-1.95, 1.95), ylim=(-1.95, 1.95), xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        column_of_axes[0].set_title(name)
    for ax, text in zip(axes[:, 0], ("data", f"noise on the way, t = {STEP_SHOWN}",
                                     f"learned score, t = {ARROWS_AT}", "samples")):
        ax.set_ylabel(text)
    lesson.figure(fig, "sets")


def draw_score(ax, plane, data):
    """Arrows along ∇ ln p_t, as learned; long ones cut."""
    side = np.linspace(-1.8, 1.8, 19)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    x = mg.Tensor(grid / plane.scale, dtype="float32")
    with mg.no_grad():
        score = score_from_eps(SCHEDULE, x, ARROWS_AT, plane.denoiser(x, ARROWS_AT)).numpy()
    length = np.linalg.norm(score, axis=1, keepdims=True)
    arrows = score / (length + 1.0) * 0.3
    ax.scatter(*SCHEDULE.signal[ARROWS_AT] * data.T, s=2, color=REAL, alpha=0.2, linewidths=0)
    ax.quiver(*grid.T, *arrows.T, length[:, 0], cmap="viridis_r", angles="xy", scale_units="xy",
              scale=1, width=0.006)


figure_of_paths()
figure_of_steps()
figure_of_sets()

# %%
lesson.step("""
    9. Exercises
      a. DDIM starts from x_T = -.5 at .5/.5. In which mode does it end, and at which quantile?
      b. A point was noised up to t = 40 and DDIM goes back from there. Does it find the point?
      c. DDPM with σ² = β̃ is too narrow on N(0, 1). By how much, and what do more steps change?
      d. What would z at the last step do, with σ² = β?
    Answers
      a. F_T(-.5) = .3086 < .5: the left mode, at its quantile .3086/.5 = .617, and x_0 = -4.85.
      b. Not the point: F_0⁻¹(F_40(x_40)), the point at the same rank, in the same mode. With the
         exact denoiser x_40 tells the rank, and x_0 itself is lost in the noise.
      c. By Σ (β_t - β̃_t) ᾱ_{t-1}, as each step's lack is multiplied by the later α. And
         β_t - β̃_t = β_t² ᾱ_{t-1}/(1 - ᾱ_t): of twice as many steps of half the size, each lacks
         about a quarter, and all together half.
      d. For N(0, 1) it would be right: x_0 had the variance 1. What belongs there is Var(x_0|x_1),
         and it depends on the data: for a point it is 0, for a picture with smooth surfaces nearly.
         The picture would carry a grain of √β_1 = .03.
""")
rank = law_at(equal, LONG, 1000).cdf(-0.5)
lesson.check("exercise a: x_0 from x_T = -.5", walk([-0.5], exact(equal, LONG), LONG),
             -5 + 0.5 * NORMAL.quantile(rank / 0.5), "quadrature", 0.005, why="Euler's error")
lesson.check("exercise a, in numbers", -5 + 0.5 * NORMAL.quantile(rank / 0.5), -4.85, "quadrature",
             0.005)
x0 = modes.sample(500, rng)
x_40 = q_sample(SCHEDULE, column(x0), 40, column(rng.standard_normal(500)))
back = ddim(modes_eps, SCHEDULE, x_40, range(1, 41)).numpy().ravel()
by_rank = modes.quantile(law_at(modes, SCHEDULE, 40).cdf(x_40.numpy().ravel()))
lesson.check("exercise b: back at the same rank, median distance", np.median(abs(back - by_rank)),
             0.0, "quadrature", 0.02, why="Euler's error, 40 steps")
lesson.check("exercise c: the variance that β̃ lacks", 1 - narrow,
             ((SCHEDULE.beta - SCHEDULE.beta_tilde)[1:] * SCHEDULE.alpha_bar[:-1]).sum())
lesson.finish()
