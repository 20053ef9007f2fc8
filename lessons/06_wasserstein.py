"""06. Wasserstein: a distance that knows how far, and the critic that measures it

The question. Where p_r and p_g do not overlap, JSD is ln 2 however far apart they are, and the
generator gets no direction. Which distance does better, and how can a network compute it?

You will compute the Wasserstein distance W1 in four ways that agree to rounding, one of them a
linear program solved by an auction; derive the duality of Kantorovich and Rubinstein and watch its
gap close; find the exact critic on the line; see what "BCE without the logarithm" gives instead,
and what clipping the weights does to a critic's slopes.

You need: the value of the GAN game (lesson 04), why its optimum is not reached (lesson 05).
Papers: Arjovsky, Chintala and Bottou 2017 (WGAN); Villani 2009, chapters 5 and 6 (duality);
Bertsekas 1988 (the auction); Gulrajani et al. 2017 (what clipping does).

Notation: F_r and F_g are the cumulative distribution functions of p_r and p_g, f is a critic.
"""

# %%
import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
from lesson import FAKE, LEARNED, REAL, THEORY, Lesson

import minigen as mg
from minigen import ops, optim
from minigen.densities import Gaussian, Gaussian2d, GaussianMixture, Uniform, ring
from minigen.divergences import js, total_variation, wasserstein1, wasserstein1_samples
from minigen.models.gan import Discriminator
from minigen.models.wgan import clip_weights, critic_loss, generator_loss
from minigen.quadrature import integrate
from minigen.training import minimise, train

LN2 = math.log(2)

lesson = Lesson("06_wasserstein", __doc__)
rng = lesson.rng


# %%
lesson.step("""
    1. Two points: what JSD cannot say
    p_r is a point at 0, p_g a point at θ. G is to learn θ = 0.
      1. For θ ≠ 0 no point belongs to both: D* = 1 at 0 and D* = 0 at θ. JSD = ln 2 (lesson 04).
      2. At θ = 0 JSD = 0. So it is a jump with slope 0 on both sides: no gradient, ever.
      3. W1(p_r, p_g) is the least mean distance over which p_g's mass must be carried to become
         p_r. Here all of it goes from θ to 0: W1 = |θ|, with slope sign(θ): downhill everywhere.
    The same for U(0, 1) and U(θ, θ + 1): from |θ| = 1 on JSD is flat, and W1 = |θ| all along.
""")


def js_of_atoms(x, y):
    """JSD of the uniform distributions on two lists of points."""
    atoms = np.union1d(x, y)
    p, q = (np.mean(np.equal.outer(atoms, points), axis=1) for points in (x, y))
    m = (p + q) / 2
    p_side, q_side = (a[a > 0] @ np.log(a[a > 0] / m[a > 0]) for a in (p, q))
    return (p_side + q_side) / 2


def w1_of_pairs(x, y):
    """The mean of |x_i - y_i|, as a Tensor: W1 if the points are paired in order (step 2)."""
    return ops.abs(x - y).mean()


thetas = np.array([-3.0, -0.5, 0.01, 2.0])
lesson.check("two points: JSD", [js_of_atoms([0.0], [theta]) for theta in thetas], LN2)
lesson.check("two points, θ = 0: JSD", js_of_atoms([0.0], [0.0]), 0.0)
lesson.check("two points: W1 = |θ|", [wasserstein1_samples([0.0], [t]) for t in thetas],
             abs(thetas))
slopes = []
for theta in thetas:
    theta = mg.Tensor([theta], requires_grad=True, dtype="float64")
    slopes.append(mg.grad(w1_of_pairs(theta, 0.0), theta)[0].item())
lesson.check("two points: slope of W1 = sign(θ)", slopes, np.sign(thetas))
boxes = [Uniform(theta, theta + 1) for theta in (2.0, 2.1)]
js_boxes = [js(Uniform(0, 1), box).value for box in boxes]
w1_boxes = [wasserstein1(Uniform(0, 1), box).value for box in boxes]
lesson.check("boxes apart: slope of JSD", (js_boxes[1] - js_boxes[0]) / 0.1, 0.0, "quadrature")
lesson.check("boxes apart: slope of W1", (w1_boxes[1] - w1_boxes[0]) / 0.1, 1.0, "quadrature")


def figure_of_distances():
    """JSD and W1 of two points, and of two Gaussians, against their distance."""
    theta = np.linspace(-3, 3, 121)
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    widths = [(1.0, LEARNED), (0.3, REAL)]
    for s, color in widths:
        pairs = [(Gaussian(0, s), Gaussian(t, s)) for t in theta]
        axes[0].plot(theta, [js(p, q).value for p, q in pairs], color=color,
                     label=f"N(0, {s}²) and N(θ, {s}²)")
        axes[1].plot(theta, [wasserstein1(p, q).value for p, q in pairs], color=color, lw=3.5,
                     alpha=0.4)
    axes[0].plot([-3, 0], [LN2] * 2, color=FAKE, label="two points")
    axes[0].plot([0, 3], [LN2] * 2, color=FAKE)
    axes[0].plot(0, LN2, "o", mfc="white", color=FAKE)
    axes[0].plot(0, 0, "o", color=FAKE)
    axes[1].plot(theta, abs(theta), color=FAKE, ls="--", label="all three: |θ|")
    axes[0].set(xlabel="θ", ylabel="JSD, nats", ylim=(-0.03, 1.04))
    axes[0].set_title("JSD: flat, where there is far to go")
    axes[1].set(xlabel="θ", ylabel="W1, in units of x")
    axes[1].set_title("W1: a slope of ±1 from anywhere")
    axes[0].legend(loc="upper center")
    axes[1].legend(loc="upper center")
    lesson.figure(fig, "distances")


figure_of_distances()

# %%
lesson.step("""
    2. W1 on the line, four ways
    A coupling says how much of each x goes to each y: π(x, y) >= 0 with the margins p_r and p_g.
    W1 = min over couplings of E_π|x - y|.
      1. For n + n points of equal weight the best couplings include a matching, y_i ↔ x_σ(i)
         (Birkhoff): W1 = min over permutations σ of the mean of |x_σ(i) - y_i|.
      2. *Sorted.* For x₁ <= x₂ and y₁ <= y₂:  |x₁ - y₁| + |x₂ - y₂| <= |x₁ - y₂| + |x₂ - y₁|. To
         uncross two paths costs nothing. Uncross all: smallest to smallest, largest to largest.
      3. *Quantiles.* So the point at rank u goes to the point at rank u, for any two laws:
         W1 = ∫₀¹ |F_r⁻¹(u) - F_g⁻¹(u)| du.
      4. *Areas.* That is the area between two curves, cut into horizontal strips. Cut into vertical
         strips, it is W1 = ∫ |F_r(x) - F_g(x)| dx.
      5. *A linear program.* E_π|x - y| is linear in π, and so are the margins. Step 3 solves it
         without knowing that the points lie on a line.
""")
n = 6
x, y = rng.standard_normal(n) + 1.0, 2 * rng.standard_normal(n)


def area_between_cdfs(x, y):
    """∫ |F - G| for the empirical cdfs, which are steps."""
    cuts = np.sort(np.concatenate([x, y]))
    F, G = ((points[:, None] <= cuts[:-1]).mean(axis=0) for points in (x, y))
    return np.abs(F - G) @ np.diff(cuts)


every_order = np.array(list(itertools.permutations(range(n))))
w1 = np.abs(x[every_order] - y).mean(axis=1).min()  # all 720 matchings
lesson.say(f"W1 of two samples of {n}, the best of {len(every_order)} matchings: {w1:.6f}")
lesson.check("sorted coupling", w1_of_pairs(mg.Tensor(np.sort(x)), mg.Tensor(np.sort(y))), w1)
lesson.check("quantiles", wasserstein1_samples(x, y), w1)
lesson.check("area between the cdfs", area_between_cdfs(x, y), w1)
more = rng.standard_normal(9)
lesson.check("9 points to 6: quantiles and area", wasserstein1_samples(more, y),
             area_between_cdfs(more, y))
p_r, p_g = Gaussian(0.5, 1.0), Gaussian(-1.0, 0.4)
quantile_way = integrate(lambda u: np.abs(p_r.quantile(u) - p_g.quantile(u)), 1e-9, 1 - 1e-9,
                         [1e-6, 1e-3, 0.5, 1 - 1e-3, 1 - 1e-6]).value
lesson.check("two Gaussians: quantiles and area", quantile_way, wasserstein1(p_r, p_g).value,
             "quadrature", 1e-6)
lesson.check("N(0, 1) and N(0, s²): |1 - s| √(2/π)",
             wasserstein1(Gaussian(0, 1), Gaussian(0, 0.3)), 0.7 * math.sqrt(2 / math.pi),
             "quadrature")

# %%
lesson.step("""
    3. The dual: prices, and the critic
    Claim (Kantorovich, Rubinstein).  W1 = max of E_r[f] - E_g[f] over all f of slope at most 1.
      1. Let v_j be a price at y_j. x_i looks for the least of distance and price together:
         u_i = min_j (|x_i - y_j| + v_j). So u_i - v_j <= |x_i - y_j| for every pair.
      2. Any coupling π costs Σ π_ij |x_i - y_j| >= Σ π_ij (u_i - v_j) = mean(u) - mean(v), for its
         margins are fixed. Whatever prices, whatever plan: dual <= primal. The difference is the
         duality gap.
      3. Let f(x) = min_j (|x - y_j| + v_j), for all x: a least of functions of slope 1, so of slope
         at most 1. f(x_i) = u_i, and f(y_j) <= v_j. Hence mean f(x) - mean f(y) is as large as the
         dual, or larger, and still no more than W1: |f(x) - f(y)| <= |x - y|. A critic.
      4. The auction: while some x_i has no partner, it bids for the y_j that is best for it, and
         raises v_j until its second best is as good, and by ε more. Who held y_j must look again.
      5. At the end nobody could do better than by ε: |x_i - y_j| + v_j <= u_i + ε for partners. So
         the gap is at most ε. Start with a large ε, keep the prices, and make it small.
      6. With a gap of 0 all partners have f(x_i) - f(y_j) = |x_i - y_j|: along each path of the
         plan the best critic has slope 1 exactly (Gulrajani et al. 2017, proposition 1).
""")


def auction(cost, prices, epsilon):
    """(partner of each x, prices): a matching that is no more than epsilon a pair from the best."""
    n = len(cost)
    prices = prices.copy()
    owner = np.full(n, -1)
    waiting = list(range(n))
    while waiting:
        i = waiting.pop()
        total = cost[i] + prices
        first, second = np.argsort(total)[:2]
        prices[first] += total[second] - total[first] + epsilon
        if owner[first] >= 0:
            waiting.append(owner[first])
        owner[first] = i
    return np.argsort(owner), prices


def transport(cost, epsilons):
    """The last plan and prices, and for each epsilon (primal, dual)."""
    prices = np.zeros(len(cost))
    bounds = []
    for epsilon in epsilons:
        partner, prices = auction(cost, prices, epsilon)
        primal = cost[np.arange(len(cost)), partner].mean()
        dual = (cost + prices).min(axis=1).mean() - prices.mean()
        bounds.append((primal, dual))
    return partner, prices, np.array(bounds)


EPSILONS = 4.0 ** -np.arange(20)  # from 1 to 4e-12
partner, prices, bounds = transport(np.abs(np.subtract.outer(x, y)), EPSILONS)
lesson.check("linear program, on the line: the plan's cost", bounds[-1, 0], w1)
lesson.check("linear program, on the line: the dual", bounds[-1, 1], w1)

n = 64
data_ring = ring(8, 2.0, 0.1)
plane_x = data_ring.sample(n, rng)
plane_y = Gaussian2d([0.4, -0.3], 0.5).sample(n, rng)


def distances(a, b):
    return np.linalg.norm(a[..., :, None, :] - b, axis=-1)


partner, prices, bounds = transport(distances(plane_x, plane_y), EPSILONS)
gaps = bounds[:, 0] - bounds[:, 1]


def best_critic(points):
    """f(x) = min_j (|x - y_j| + v_j), for points (..., 2)."""
    return (distances(points, plane_y) + prices).min(axis=-1)


lesson.say("\n".join(f"ε = {e:8.2g}   plan {p:.12f}   prices {d:.12f}   gap {p - d:.2g}"
                     for e, (p, d) in list(zip(EPSILONS, bounds))[::4]))
lesson.check("in the plane: duality gap over ε, at most 1", max(0.0, (gaps / EPSILONS - 1).max()),
             0.0, tolerance=1e-3)  # the last ε is 4e-12, and the gap is rounded at 1e-15
lesson.check("in the plane: the last gap", gaps[-1], 0.0)
excess = (bounds[:, 1] - bounds[-1, 0]).max()
lesson.check("in the plane: the dual never exceeds W1", max(0.0, excess), 0.0)
lesson.check("the critic's value = W1", best_critic(plane_x).mean() - best_critic(plane_y).mean(),
             bounds[-1, 0])
paths = np.linalg.norm(plane_x - plane_y[partner], axis=1)
lesson.check("the critic falls by 1 a unit, along each path",
             (best_critic(plane_x) - best_critic(plane_y[partner])) / paths, 1.0)
a, b = rng.uniform(-3, 3, (2, 2000, 2))
steepest = (np.abs(best_critic(a) - best_critic(b)) / np.linalg.norm(a - b, axis=1)).max()
lesson.check("steepest slope over 1, between 2000 pairs of points", max(0.0, steepest - 1), 0.0)


def figure_of_transport():
    """The plan in the plane over the critic's level lines; and the gap as ε falls."""
    side = np.linspace(-2.9, 2.9, 200)
    levels = best_critic(np.stack(np.meshgrid(side, side), axis=-1))
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained",
                                      width_ratios=[1.15, 1])
    shade = left.contourf(side, side, levels, 24, cmap="Greys", alpha=0.55)
    fig.colorbar(shade, ax=left, label="f, in units of x")
    for a, b in zip(plane_x, plane_y[partner]):
        left.plot(*np.stack([a, b]).T, color=THEORY, lw=0.7, alpha=0.8)
    left.plot(*plane_y.T, "o", color=FAKE, ms=4.5, mec="white", mew=0.5, label="fakes")
    left.plot(*plane_x.T, "o", color=REAL, ms=4.5, mec="white", mew=0.5, label="real")
    left.set(aspect="equal", xlim=(-2.9, 2.9), ylim=(-2.9, 2.9))
    left.set_title(f"The best plan, W1 = {bounds[-1, 0]:.4f}, and the best critic")
    left.legend(loc="upper left", frameon=True, framealpha=0.9)
    right.loglog(EPSILONS, gaps, "o-", color=LEARNED, label="plan - prices")
    right.loglog(EPSILONS, EPSILONS, ls="--", color=THEORY, label="its bound, ε")
    right.invert_xaxis()
    right.set(xlabel="ε, by which a bid goes too far", ylabel="duality gap")
    right.set_title("The duality gap goes to 0")
    right.legend()
    lesson.figure(fig, "transport")


figure_of_transport()

# %%
lesson.step("""
    4. The best critic on the line
    Claim. f' = sign(F_g - F_r), and a constant added to f changes nothing.
      1. E_r[f] - E_g[f] = ∫ f (p_r - p_g) dx = -∫ f' (F_r - F_g) dx, by parts: both F go from 0 to
         1, and nothing is left at the ends.
      2. With |f'| <= 1 that is at most ∫ |F_g - F_r| dx = W1, reached by f' = sign(F_g - F_r).
         There is W1 again, and the duality of step 3 proved for the line.
      3. f + c has the same difference of means. So the critic's last bias has the gradient 0, its
         scores have no zero and no 1/2, and scores of two critics cannot be compared.
      4. The generator. When p_g is shifted by dθ, f may stay: W1 is flat in f at the best f. So
         dW1/dθ = -E_g[f'(x)]: the gradient of the generator's loss, -E_g[f].
""")
two_modes = GaussianMixture([0.4, 0.6], [Gaussian(-1.6, 0.5), Gaussian(1.8, 0.7)])
one_mode = Gaussian(0.3, 1.4)
line = np.linspace(-7.5, 8.5, 8001)
width = line[1] - line[0]
slope_of_best = np.sign(one_mode.cdf(line) - two_modes.cdf(line))
best_on_line = np.cumsum(slope_of_best) * width  # at the right end of each cell
w1 = wasserstein1(two_modes, one_mode).value
scores = [law.pdf(line) * width @ (best_on_line - slope_of_best * width / 2)
          for law in (two_modes, one_mode)]
lesson.check("best critic on the line: its value = W1", scores[0] - scores[1], w1, "quadrature",
             1e-5)

critic = Discriminator(1, hidden=(16, 16), generator=rng)
x_real = mg.Tensor(two_modes.sample(128, rng).reshape(-1, 1), dtype="float32")
x_fake = mg.Tensor(one_mode.sample(128, rng).reshape(-1, 1), dtype="float32")
at_bias, = mg.grad(critic_loss(critic(x_real), critic(x_fake)), critic.parameters()[-1])
lesson.check("the last bias: gradient", at_bias, 0.0, tolerance=1e-6)

for theta in (-0.7, 1.3):  # the two points of step 1, where f(x) = -|x|
    at = mg.Tensor([[theta]], requires_grad=True, dtype="float64")
    score_real, score_fake = -ops.abs(0.0 * at), -ops.abs(at)
    lesson.check(f"two points, θ = {theta}: the critic's value",
                 -critic_loss(score_real, score_fake), abs(theta))
    lesson.check(f"two points, θ = {theta}: slope of G's loss = sign(θ)",
                 mg.grad(generator_loss(score_fake), at)[0], np.sign(theta))
h = 1e-3
up, down = (wasserstein1(two_modes, Gaussian(0.3 + t, 1.4)).value for t in (h, -h))
lesson.check("dW1/dθ = -E_g[f']", -one_mode.pdf(line) * width @ slope_of_best,
             (up - down) / (2 * h), "quadrature", 1e-3)

# %%
lesson.step("""
    5. "BCE without the logarithm" is not it
    A WGAN is sometimes explained as a GAN without the logarithms: maximise E_r[D] - E_g[D]. What
    that gives depends on the bound, and on nothing else.
      1. *D = σ(a) in [0, 1].* The best D is 1 where p_r > p_g, and 0 elsewhere:
         E_r[D] - E_g[D] = ∫ max(p_r - p_g, 0) dx = TV, the total variation. Like JSD it stops at
         the point where nothing overlaps any more, at 1. For N(±1, 1) it is 2Φ(1) - 1 = .682689.
      2. *No sigmoid, no bound.* If f has the value v > 0, then 2f has 2v. There is no maximum.
         For f = ψ x the slope in ψ is Δ = E_r[x] - E_g[x], whatever ψ: after k steps of size h,
         ψ = k h Δ and the value is k h Δ². It measures for how long it was trained.
      3. *A slope of at most 1.* W1 = 2, the distance.
""")
p_r, p_g = Gaussian(1.0, 1.0), Gaussian(-1.0, 1.0)
step_d = integrate(lambda x: p_r.pdf(x) - p_g.pdf(x), 0, 10, [1])  # D = 1 for x > 0
lesson.check("D in [0, 1], no logarithm: total variation", step_d,
             total_variation(p_r, p_g).value, "quadrature")
lesson.check("... = 2Φ(1) - 1", step_d.value, 0.682689, "quadrature", 5e-7)
lesson.check("a slope of at most 1: W1", wasserstein1(p_r, p_g), 2.0, "quadrature")

line_critic = Discriminator(1, hidden=(), generator=rng)
psi = line_critic.parameters()[0]
optimiser = optim.SGD([psi], lr=0.1)
x_real, x_fake = mg.Tensor([[0.5], [1.5]]), mg.Tensor([[-2.0], [0.0]])  # Δ = 2
start, values = psi.item(), []
for _ in range(50):
    loss = critic_loss(line_critic(x_real), line_critic(x_fake))
    values.append(-loss.item())
    minimise(loss, optimiser, line_critic)
lesson.check("no bound: the value grows by h Δ² a step", np.diff(values), 0.1 * 2.0**2,
             tolerance=1e-4)

# %%
lesson.step("""
    6. Clipping bounds the slope by a number that nobody chose
    Arjovsky et al. cut every weight to [-c, c] after each step, and call it "a clearly terrible way
    to enforce a Lipschitz constraint" themselves. What slopes come out?
      1. f' is a sum over the paths through the network, of products of weights and of slopes of the
         activation. With two hidden layers of H units: H² paths of 3 weights.
      2. Where one score is to be higher than another, every weight has a sign in which it helps,
         and none has a reason to stop before ±c. If all agree, and the activation's slope is its
         slope at 0, 1/2 for SiLU, then f' = H² c³/4.
      3. For H = 64: .001 for c = .01, 1 for c = .1, 1000 for c = 1. A third hidden layer multiplies
         that by H c/2. So G's gradient vanishes or explodes with c, depth and width.
      4. And it is one number. With so little bend the critic is a straight line: it compares the
         two means, and finds |E_r[x] - E_g[x]| of W1. The best f goes up, down, up, with slope ±1
         everywhere. What a critic's value, divided by its steepest slope, lacks of W1 is its
         duality gap.
""")


def points_of(law, count=256):
    """The law's quantiles as float32 (count, 1): the same points at each step, no chance."""
    u = (np.arange(count) + 0.5) / count
    return mg.Tensor(law.quantile(u).reshape(-1, 1), dtype="float32")


def clipped_critic(real, fake, c, steps=500, hidden=(64, 64)):
    """Train a critic as in WGAN's algorithm 1, with a step size to match c."""
    critic = Discriminator(1, hidden, rng)
    clip_weights(critic, c)
    optimiser = optim.RMSprop(critic.parameters(), lr=c / 50)
    x_real, x_fake = points_of(real), points_of(fake)

    def step(i):
        optimiser.lr = c / 50 * (1 - i / steps)
        loss = critic_loss(critic(x_real), critic(x_fake))
        minimise(loss, optimiser, critic)
        clip_weights(critic, c)
        return {"value": -loss}

    train(step, steps, label=f"clipped critic, c = {c}")
    return critic


def shape_of(critic, x):
    """(f, f') at x, two arrays."""
    x = mg.Tensor(x.reshape(-1, 1), requires_grad=True, dtype="float32")
    f = critic(x)
    slope, = mg.grad(f.sum(), x)
    return f.numpy().ravel().astype(np.float64), slope.numpy().ravel().astype(np.float64)


left, right = Gaussian(-1.0, 0.3), Gaussian(1.0, 0.3)
two_layers = clipped_critic(right, left, 0.01)
three_layers = clipped_critic(right, left, 0.01, hidden=(64, 64, 64))
weights = np.concatenate([p.numpy().ravel() for p in two_layers.parameters() if p.ndim == 2])
at_0 = [shape_of(critic, np.zeros(1))[1][0] for critic in (two_layers, three_layers)]
lesson.check("c = .01: share of the weights at ±c", (abs(weights) > 0.0099).mean(), 1.0, "trained",
             0.001, why="20 runs: every one")
lesson.check("c = .01: slope at 0 over H² c³/4, H³ c⁴/8",
             at_0 / np.array([64**2 * 0.01**3 / 4, 64**3 * 0.01**4 / 8]), 1.0, "trained", 0.032,
             why="20 runs: .0303 above, for biases lift SiLU's slope, sd .0001; + 5 sd")

CLIPS = (0.01, 0.05, 0.5)
mixed = (two_modes.pdf(line) + one_mode.pdf(line)) / 2 * width
difference = (two_modes.pdf(line) - one_mode.pdf(line)) * width
shapes = {c: shape_of(clipped_critic(two_modes, one_mode, c), line) for c in CLIPS}
mean_slopes = {c: mixed @ abs(slope) for c, (f, slope) in shapes.items()}
shares = {c: difference @ f / abs(slope).max() / w1 for c, (f, slope) in shapes.items()}
for c in CLIPS:
    lesson.say(f"c = {c:4}: mean |f'| = {mean_slopes[c]:8.4g}, where 1 is wanted; "
               f"{100 * shares[c]:.0f}% of W1 found")
for c, off, sd in zip(CLIPS, (0.0202, 0.1016, 0.1365), (0.0003, 0.0047, 0.0858)):
    lesson.check(f"c = {c}: mean |f'| over H² c³/4", mean_slopes[c] / (64**2 * c**3 / 4), 1.0,
                 "trained", off + 5 * sd, why=f"20 runs: off by {off}, sd {sd}; + 5 sd")
lesson.check("c = .01: it finds the difference of the means", shares[0.01],
             abs(two_modes.mean - one_mode.mean) / w1, "trained", 0.0066,
             why="20 runs: .0011 less, sd .0011; + 5 sd")
lesson.check("the best critic finds", difference @ best_on_line / w1, 1.0, "quadrature", 1e-3)


def figure_of_clipping():
    """Two densities; the slopes of the best critic and of clipped ones; and their shapes."""
    fig, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    for law, color, name in ((two_modes, REAL, "$p_r$"), (one_mode, FAKE, "$p_g$")):
        axes[0].fill_between(line, law.pdf(line), color=color, alpha=0.25)
        axes[0].plot(line, law.pdf(line), color=color, label=name)
    axes[0].set_title("Two densities")
    axes[1].plot(line, slope_of_best, color=THEORY, lw=1.6)
    axes[2].plot(line, best_on_line - mixed @ best_on_line, color=THEORY, lw=1.8,
                 label="the best: 100% of W1")
    for c, color in zip(CLIPS, plt.cm.YlGn([0.45, 0.65, 0.9])):
        f, slope = shapes[c]
        scaled = f / abs(slope).max()
        axes[1].plot(line, slope, color=color)
        axes[1].text(5.2, slope[-1], f"c = {c}", color=color, va="center")
        axes[2].plot(line, scaled - mixed @ scaled, color=color,
                     label=f"c = {c}: {100 * shares[c]:.0f}%")
    axes[1].text(5.2, slope_of_best[np.searchsorted(line, 5)], "best: ±1", color=THEORY,
                 va="center")
    axes[1].set_yscale("symlog", linthresh=1e-4)
    axes[1].set_title("Slopes f': 1 is wanted")
    axes[2].set_title("Critics, each divided by its steepest slope")
    axes[2].set_ylim(-5.5, 6.5)
    axes[2].legend(loc="upper left")
    for ax in axes:
        ax.set(xlim=(-4.5, 5), xlabel="x")
    axes[0].legend(loc="upper left")
    lesson.figure(fig, "clipping")


figure_of_clipping()

# %%
lesson.step("""
    7. Exercises
      a. W1 has a unit, JSD has none. What is W1(a X + b, a Y + b)?
      b. P = U(0, 1), R = U(1, 2), Q = U(0, 2) broke the triangle inequality for JSD (lesson 04).
         And W1?
      c. Two samples of n points from the same N(0, 1): W1 = 0 for the laws. And for the samples?
      d. Is the best critic unique, up to the constant? Think of two points.
    Answers
      a. |a| W1(X, Y): every path is |a| times as long. A shift of both moves nothing.
      b. W1(P, R) = 1, W1(P, Q) = W1(Q, R) = 1/2: it holds, here with equality. Plans can be carried
         out one after the other.
      c. About 2/√(πn) ∫ √(F (1 - F)) dx: at each x the difference of two empirical cdfs is nearly
         N(0, 2F(1 - F)/n), and E|N(0, s²)| = s √(2/π). For n = 256 that is .114: W1 of two batches
         is never 0, and its slope there is the chance of the draw.
      d. No. On the points f(0) - f(θ) = |θ| is all that counts; elsewhere f may be anything of
         slope at most 1. That is where a network's critic is free (lesson 07).
""")
x, y = rng.standard_normal(10), rng.standard_normal(15)
lesson.check("exercise a: W1 of 3x - 1 and 3y - 1", wasserstein1_samples(3 * x - 1, 3 * y - 1),
             3 * wasserstein1_samples(x, y))
P, Q, R = Uniform(0, 1), Uniform(0, 2), Uniform(1, 2)
lesson.check("exercise b: the detour's excess, 0",
             wasserstein1(P, Q).value + wasserstein1(Q, R).value - wasserstein1(P, R).value, 0.0,
             "quadrature")
n, normal = 256, Gaussian(0, 1)
root = integrate(lambda x: np.sqrt(normal.cdf(x) * normal.cdf(-x)), -9, 9, [0]).value
batches = np.sort(rng.standard_normal((2, 1000, n)), axis=2)
found = np.abs(batches[0] - batches[1]).mean(axis=1)
lesson.check("exercise c: W1 of two batches of one law", found.mean(),
             2 / math.sqrt(math.pi * n) * root, "monte-carlo", n=len(found),
             standard_error=found.std() / len(found)**0.5)
lesson.finish()
