"""07. WGAN-GP: a slope of one, asked for where it matters

The question. The critic of a Wasserstein GAN must not be steep, and clipping its weights is a poor
way to see to that (lesson 06). What does a penalty on the slope do instead? Which critic is the
best under it, and is its slope really 1?

You will derive the gradient of a loss that contains a gradient; where the penalty looks, and three
ways to look elsewhere; the exact critic on the line, f' = sign(Δ) (1 + |Δ|/(2λρ)), whose slope is
*not* 1; and what that means for training. Then a generator learns 8 modes on a ring, 25 on a grid,
and images.

You need: W1 and its critic (lesson 06); gradients of gradients, batch norm (lesson 01).
Paper: Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville, Improved Training of Wasserstein GANs,
2017. On its limits: Mescheder, Geiger and Nowozin 2018; Petzka, Fischer and Lukovnikov 2018.

Notation: x ~ p_r is real, y ~ p_g generated, F_r and F_g are their cdfs; f is the critic, λ the
weight of the penalty, x̂ = ε x + (1 - ε) y a point between with ε ~ U(0, 1), and ρ its density.
"""

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
from images import DATA, load, show
from lesson import FAKE, LEARNED, REAL, THEORY, Lesson

import minigen as mg
from minigen import nn, ops, optim
from minigen.densities import Gaussian, GaussianMixture, grid, ring
from minigen.divergences import wasserstein1_samples
from minigen.models.gan import Discriminator, Generator
from minigen.models.probe import Probe
from minigen.models.wgan import critic_loss, generator_loss
from minigen.models.wgan_gp import ConvCritic, ConvGenerator, gradient_penalty, interpolate
from minigen.quadrature import integrate
from minigen.training import Batches, minimise, train

lesson = Lesson("07_wgan_gp", __doc__, [DATA])
rng = lesson.rng
LAMBDA = 10.0  # the paper's


def leaf(array):
    """A float64 Tensor whose gradient we may ask for."""
    return mg.Tensor(array, requires_grad=True, dtype="float64")


def constant(array):
    """A float64 Tensor through which no gradient flows."""
    return mg.Tensor(array, dtype="float64")


# %%
lesson.step("""
    1. A loss that contains a gradient
    Claim. The penalty (|∇f| - 1)² can be lowered by descent: its gradient is one of second order.
      1. W1 = max of E_r[f] - E_g[f] over all f with |f(x) - f(y)| <= |x - y|. The best f has slope
         1 along every line on which it is best to move mass.
      2. So the critic lowers  E_g[f] - E_r[f] + λ E[(|∇f(x̂)| - 1)²]: no bound on f, but a price.
      3. For  f = Σ_k v_k t_k  with  t_k = tanh(w_k·x + b_k):  ∇f = Σ_k v_k (1 - t_k²) w_k.
      4. With P = (|∇f| - 1)²:  ∂P/∂v_k = 2 (|∇f| - 1) (1 - t_k²) w_k·∇f/|∇f|.  It is made of
         second derivatives of f, once in x and once in v.
      5. The engine needs no such line: a gradient made with create_graph=True is a value like any
         other. If that is left out, ∇f is a bare number, P a constant, and nothing holds the slope.
    Both are checked: the hand-made gradient, and the whole loss against difference quotients.
""")


def critic_of_points(w, b, v):
    """f(x) = v·tanh(x w + b)."""
    return lambda x: (x @ w + b).tanh() @ v


def critic_of_images(kernel, v):
    """f(x) = v·tanh(kernel * x), a convolution."""
    return lambda x: ops.conv2d(x, kernel, stride=2, padding=1).tanh().reshape(len(x), -1) @ v


def whole_loss(network, parameters, real, fake, between):
    """The critic's loss (eq. 3) with its penalty, at fixed points between."""
    critic = network(*parameters)
    return critic_loss(critic(real), critic(fake)) + LAMBDA * gradient_penalty(critic, between)


def quotients(loss, parameters, h=1e-5):
    """(loss(θ + h e) - loss(θ - h e))/2h along every axis e of every parameter."""
    arrays = [parameter.numpy() for parameter in parameters]
    found = []
    for i, array in enumerate(arrays):
        for place in np.ndindex(array.shape):
            there, back = [], []
            for moved, step in ((there, h), (back, -h)):
                moved += [constant(a) for a in arrays[:i]]
                array[place] += step
                moved.append(constant(array))
                array[place] -= step
                moved += [constant(a) for a in arrays[i + 1:]]
            found.append((loss(there) - loss(back)).item() / (2 * h))
    return np.array(found)


def draw(*shapes):
    """One leaf of each shape, from N(0, 1/2)."""
    return [leaf(rng.standard_normal(shape) / math.sqrt(2)) for shape in shapes]


cases = [("points", critic_of_points, draw((2, 8), (8,), (8, 1)), (16, 2)),
         ("images", critic_of_images, draw((3, 2, 4, 4), (3 * 3 * 3, 1)), (6, 2, 6, 6))]
for name, network, parameters, shape in cases:
    real, fake = constant(rng.standard_normal(shape) + 1), constant(rng.standard_normal(shape))
    between = interpolate(real, fake, rng)

    def loss_of(parameters):
        return whole_loss(network, parameters, real, fake, between)

    gradients = mg.grad(loss_of(parameters), parameters)
    flat = np.concatenate([g.numpy().ravel() for g in gradients])
    lesson.check(f"{name}: gradient of the critic's whole loss", flat,
                 quotients(loss_of, parameters), tolerance=1e-6,
                 why="a difference quotient, right to 1e-8 or so")

w, b, v = (parameter.numpy() for parameter in cases[0][2])
x = rng.standard_normal((16, 2))
bend = 1 - np.tanh(x @ w + b) ** 2  # (16, 8): 1 - t_k²
slope = bend * v[:, 0] @ w.T  # (16, 2): ∇f
length = np.linalg.norm(slope, axis=1, keepdims=True)
by_hand = (2 * (length - 1) / length * (slope @ w) * bend).mean(axis=0)
g_v, = mg.grad(gradient_penalty(critic_of_points(*cases[0][2]), constant(x)), cases[0][2][2])
lesson.check("penalty's gradient in v, by hand", g_v.reshape(-1), by_hand)

zero = leaf(np.zeros((2, 1)))
g_zero, = mg.grad(gradient_penalty(lambda x: x @ zero, constant(x)), zero)
lesson.check("at slope 0 its gradient is 0, not NaN", g_zero, 0.0)

# %%
lesson.step("""
    2. Whose length? One number for each sample
    Claim. The length is over all numbers of a sample. Over another axis the penalty wants another
    slope, and for images a very different one.
      1. An image is one point of d = c·h·w dimensions; |∇f|² sums over all of them.
      2. Take f(x) = Σ_p x_p/28 on 28×28 images. Each of its 784 slopes is 1/28, so |∇f| = 1, and
         the penalty is 0.
      3. A norm over axis 1, right for points (n, d), is over the *channels* of images (n, 1, 28,
         28). It takes every pixel for a sample of its own: (1 - 1/28)² = .9298. It would be 0 at
         slope 1 in each pixel, and that is |∇f| = 28.
      4. A norm over everything, batch included, is √n times one sample's: (√64 - 1)² = 49.
    Nothing is raised, and the loss goes down in all three.
""")


def sums(scale):
    """A critic for images: the sum of all pixels, times a number."""
    return lambda x: scale * x.reshape(len(x), -1).sum(axis=1, keepdims=True)


images = leaf(rng.random((64, 1, 28, 28)))


def penalty_over(axes, critic):
    """The penalty with its norm over these axes of the slopes (n, c, h, w)."""
    slopes, = mg.grad(critic(images).sum(), images)
    return ((ops.safe_sqrt((slopes * slopes).sum(axes)) - 1.0) ** 2).mean()


lesson.check("slope 1/28 in each pixel: the penalty", gradient_penalty(sums(1 / 28), images), 0.0)
lesson.check("... its norm over the channels", penalty_over(1, sums(1 / 28)), (1 - 1 / 28) ** 2)
lesson.check("... its norm over the whole batch", penalty_over(None, sums(1 / 28)), 49.0)
lesson.check("slope 1 in each pixel, over the channels", penalty_over(1, sums(1.0)), 0.0)
lesson.check("slope 1 in each pixel: the penalty", gradient_penalty(sums(1.0), images), 27.0 ** 2)

# %%
lesson.step("""
    3. Where the penalty looks: uniformly on lines
    Claim. x̂ = ε x + (1 - ε) y lies between x and y for ε ~ U(0, 1), one ε for each pair. With
    ε ~ N(0, 1) two thirds of all points lie outside.
      1. x̂ - y = ε (x - y). So x̂ is on the line through x and y, and between them if 0 <= ε <= 1.
      2. For ε ~ N(0, 1):  P(ε < 0) + P(ε > 1) = 1/2 + Φ(-1) = .658655.
      3. One ε for a whole batch has the same mean, but nothing averages out: the mean of n
         independent ε has variance 1/(12 n), that of n equal ones 1/12.
      4. One ε_p for each pixel: x̂ lies somewhere in the box with corners x and y. Its place along
         the line is t = Σ ε_p δ_p²/Σ δ_p² with δ = x - y. For equal |δ_p| in d dimensions t has
         variance 1/(12 d): for d = 784, t = .5 ± .01. All x̂ come from the middle, off the line.
""")


def place(eps):
    """Which ε drew these points (n, ...), if real is 1 and fake is 0 everywhere."""
    return eps.numpy().reshape(len(eps), -1)


n = 10_000
eps = place(interpolate(constant(np.ones((n, 2))), constant(np.zeros((n, 2))), rng))
lesson.check("share of x̂ outside of x .. y", ((eps < 0) | (eps > 1)).mean(), 0.0)
lesson.check("different ε among 10,000 pairs", len(np.unique(eps[:, 0])), n)
lesson.check("mean ε", eps[:, 0].mean(), 0.5, "monte-carlo", n=n,
             standard_error=1 / math.sqrt(12 * n))
lesson.check("mean ε²", (eps[:, 0] ** 2).mean(), 1 / 3, "monte-carlo", n=n,
             standard_error=math.sqrt((1 / 5 - 1 / 9) / n))
inside = integrate(Gaussian(0, 1).pdf, 0.0, 1.0)
lesson.check("normal ε: share outside", 1 - inside.value, 0.5 + Gaussian(0, 1).cdf(-1.0),
             "quadrature")
lesson.check("... in numbers", 1 - inside.value, 0.658655, "quadrature", 5e-7)
normal = rng.standard_normal(n)
lesson.check("... of points drawn so", ((normal < 0) | (normal > 1)).mean(), 0.658655,
             "monte-carlo", n=n, standard_error=math.sqrt(0.658655 * (1 - 0.658655) / n))

pixels = (1, 28, 28)
eps = place(interpolate(constant(np.ones((500, *pixels))), constant(np.zeros((500, *pixels))), rng))
lesson.check("images: spread of ε within one", np.ptp(eps, axis=1), 0.0)
along = rng.random((500, 784)).mean(axis=1)  # t, for an ε of each pixel's own
spread = 1 / (12 * 784)
lesson.check("one ε a pixel: variance of t, times 12 d", along.var(ddof=1) / spread, 1.0,
             "monte-carlo", n=500, standard_error=math.sqrt(2 / 499))

# %%
lesson.step("""
    4. The best critic on the line: steeper than 1
    Claim. Under the penalty the best critic has  f' = sign(Δ) (1 + |Δ|/(2λρ)),  Δ = F_g - F_r.
      1. By parts, as F_r - F_g is 0 at both ends:
         E_r[f] - E_g[f] = ∫ f (p_r - p_g) dx = -∫ f' (F_r - F_g) dx = ∫ f' Δ dx.
      2. With s = f'(x), minus the loss is  J = ∫ [s Δ - λ ρ (|s| - 1)²] dx. The slope may be chosen
         at each x alone, as D was in lesson 04.
      3. s takes the sign of Δ. For Δ > 0:  Δ - 2λρ (s - 1) = 0, so  s = 1 + Δ/(2λρ);  and the
         second derivative is -2λρ < 0. For Δ < 0 it is the mirror image. For Δ = 0: s = ±1.
      4. Put in:  E_r[f] - E_g[f] = ∫|Δ| + ∫Δ²/(2λρ) = W1 + ∫Δ²/(2λρ).  The critic overrates W1.
      5. Two single points, x = θ and y = 0: between them Δ = 1, and x̂ is uniform, ρ = 1/θ. So the
         slope is 1 + θ/(2λ): 1.1 for θ = 2, λ = 10. It is 1 only in the limit λ → ∞.
      6. A second maximum: with s of the *wrong* sign, J's slope is 0 at |s| = 1 - |Δ|/(2λρ), if
         that is positive. From there to the right sign s must pass 0, at the price of λρ. So a
         critic on the line may get stuck: at w = -(1 - θ/(2λ)) = -.9 for the two points. In more
         dimensions ∇f can turn round; and a small λ, λ <= |Δ|/(2ρ), sets no such trap.
""")


def best_slope(delta, rho, weight):
    """f' of the best critic on the line, from Δ, ρ and λ."""
    return np.sign(delta) * (1 + np.abs(delta) / (2 * weight * rho))


def line_loss(w, theta, weight):
    """The loss of the critic f(x) = w x for a real point at θ and a generated one at 0."""
    x, y = constant(np.full((8, 1), theta)), constant(np.zeros((8, 1)))
    penalty = gradient_penalty(lambda x: x * w, interpolate(x, y, rng))
    return critic_loss(x * w, y * w) + weight * penalty


def newton(theta, weight):
    """The slope at which that loss, quadratic for w > 0, is least: one Newton step from 1."""
    w = leaf(1.0)
    first, = mg.grad(line_loss(w, theta, weight), w, create_graph=True)
    second, = mg.grad(first, w)
    return 1.0 - (first / second).item()


w = leaf(best_slope(1.0, 1 / 2.0, LAMBDA))
lesson.check("two points, θ = 2, λ = 10: slope of the loss at w = 1.1",
             mg.grad(line_loss(w, 2.0, LAMBDA), w)[0], 0.0)
w = leaf(-0.9)
stuck, = mg.grad(line_loss(w, 2.0, LAMBDA), w, create_graph=True)
lesson.check("... and at w = -.9, the wrong way", stuck, 0.0)
lesson.check("... which is a minimum: second derivative 2λ", mg.grad(stuck, w)[0], 2 * LAMBDA)
weights = [1.0, 10.0, 100.0, 1000.0]
lesson.check("best slope for λ = 1, 10, 100, 1000", [newton(2.0, weight) for weight in weights],
             [2.0, 1.1, 1.01, 1.001])
lesson.check("θ = 2: what the best critic takes for W1", 2.0 * newton(2.0, LAMBDA), 2.2)

# %% Densities instead of points
lesson.step("""
    ... for densities
      1. Given ε, x̂ is a sum of two independent normal numbers if x and y are normal:
         x̂ ~ N(ε m_r + (1 - ε) m_g, ε² s_r² + (1 - ε)² s_g²).  So ρ is an integral over ε.
      2. Here p_r has two modes and p_g one, between them. Left of it Δ < 0, right of it Δ > 0: the
         best critic falls towards p_g from both sides, a valley.
    J's slope in each s is computed by the engine, and must be 0 at the formula's s.
""")
real = GaussianMixture([0.35, 0.65], [Gaussian(-2.0, 0.4), Gaussian(1.5, 0.6)])
fake = Gaussian(0.2, 0.5)
line = np.linspace(-4.5, 4.5, 1801)
width = line[1] - line[0]  # on a fine grid, a plain sum is an excellent integral of smooth bumps


def density_between(x, nodes=60):
    """ρ(x): Gauss-Legendre over ε, the normal density of x̂ given ε at each node."""
    places, shares = np.polynomial.legendre.leggauss(nodes)
    rho = np.zeros_like(x)
    for eps, share in zip((places + 1) / 2, shares / 2):
        for weight, mode in zip(real.weights, real.components):
            mean = eps * mode.mean + (1 - eps) * fake.mean
            std = math.hypot(eps * mode.std, (1 - eps) * fake.std)
            rho += share * weight * Gaussian(mean, std).pdf(x)
    return rho


delta = fake.cdf(line) - real.cdf(line)
rho = density_between(line)
exact = {weight: best_slope(delta, rho, weight) for weight in (1.0, LAMBDA)}
w1 = np.abs(delta).sum() * width
lesson.check("ρ is a density: its integral", rho.sum() * width, 1.0, "quadrature", 1e-7)
n = 100_000
x, y = real.sample(n, rng).reshape(-1, 1), fake.sample(n, rng).reshape(-1, 1)
between = interpolate(constant(x), constant(y), rng).numpy()
below = rho[line < -0.5].sum() * width
lesson.check("P(x̂ < -1/2), from ρ and from points drawn", (between < -0.5).mean(), below,
             "monte-carlo", n=n, standard_error=math.sqrt(below * (1 - below) / n))
moment = (np.sin(line) * (real.pdf(line) - fake.pdf(line))).sum() * width
lesson.check("by parts: E_r[f] - E_g[f] = ∫ f'Δ for f = sin", (np.cos(line) * delta).sum() * width,
             moment, "quadrature", 1e-6)


def objective(slopes, weight, one_sided=False):
    """J of these slopes on the line."""
    excess = abs(slopes) - 1.0
    excess = ops.relu(excess) if one_sided else excess
    gain, price = slopes * constant(delta), weight * constant(rho) * excess * excess
    return ((gain - price) * width).sum()


for weight, slopes in exact.items():
    s = leaf(slopes)
    value = objective(s, weight)
    lesson.check(f"λ = {weight:g}: slope of J in each s", mg.grad(value, s)[0], 0.0)
    lesson.check(f"λ = {weight:g}: J = W1 + ∫Δ²/(4λρ)", value,
                 w1 + (delta ** 2 / (4 * weight * rho)).sum() * width)
lesson.say(f"W1 = {w1:.4f}; steepest slope {np.abs(exact[LAMBDA]).max():.3f} for λ = 10, "
           f"{np.abs(exact[1.0]).max():.3f} for λ = 1")

# %% ... and trained
lesson.step("""
    ... and does a trained critic get there?
    A perceptron 1 → 32 → 32 → 1 sees batches of both. λ rises from 0 to its full weight in the
    first half, so that it is not stuck as in 6. We compare slopes where the penalty looks,
    E_ρ|f' - f'*|. What is left over is the corner, where f'* jumps and no smooth f' can.
""")


def train_critic(seed, weight, steps, rise=0.5, batch=256):
    """The slopes on `line` of a trained critic, and its E_r[f] - E_g[f].

    rise: the share of the steps in which λ grows from 0 to `weight`.
    """
    rng = np.random.default_rng([lesson.seed, seed])
    critic = Discriminator(1, generator=rng)
    optimiser = optim.Adam(critic.parameters(), betas=(0.5, 0.9))

    def step(i):
        optimiser.lr = 0.003 * (1 - i / steps)
        x = mg.Tensor(real.sample(batch, rng).reshape(-1, 1), dtype="float32")
        y = mg.Tensor(fake.sample(batch, rng).reshape(-1, 1), dtype="float32")
        penalty = gradient_penalty(critic, interpolate(x, y, rng))
        now = weight * min(1.0, (i + 1) / max(1, rise * steps))
        minimise(critic_loss(critic(x), critic(y)) + now * penalty, optimiser, critic)
        return {"penalty": penalty}

    train(step, steps, label=f"critic, λ = {weight:g}")
    x = mg.Tensor(line.reshape(-1, 1), requires_grad=True, dtype="float32")
    scores = critic(x)
    slopes, = mg.grad(scores.sum(), x)
    gap = (scores.numpy().ravel() * (real.pdf(line) - fake.pdf(line))).sum() * width
    return slopes.numpy().ravel().astype(np.float64), gap


seeds, steps = (10, 3000) if lesson.full else (2, 500)
learned = {weight: [train_critic(seed, weight, steps) for seed in range(seeds)] for weight in exact}
stuck, _ = train_critic(0, LAMBDA, steps, rise=0.0)


def distance_from_best(slopes, weight):
    """E_ρ|f' - f'*|."""
    return (np.abs(slopes - exact[weight]) * rho).sum() * width


lesson.say(f"λ = 10 from the start: E_ρ|f' - f'*| = {distance_from_best(stuck, LAMBDA):.3f}")
TOLERANCES = {1.0: 0.1, LAMBDA: 0.05}  # of the value
for weight, runs in learned.items():
    off = [distance_from_best(slopes, weight) for slopes, _ in runs]
    overrated = (delta ** 2 / (2 * weight * rho)).sum() * width
    gaps = [gap for _, gap in runs]
    lesson.check(f"λ = {weight:g}: E_ρ|f' - f'*| of trained critics", off, 0.0, "trained", 0.15,
                 why="3 runs: up to .109, sd .005; + 8 sd")
    lesson.check(f"λ = {weight:g}: their E_r[f] - E_g[f] = W1 + ∫Δ²/(2λρ)", gaps, w1 + overrated,
                 "trained", TOLERANCES[weight],
                 why="3 runs: off by .018 (λ = 1) and .014, sd .016 and .002")


# %%
def figure_of_slopes():
    """The densities; the critics; their slopes, exact and learned."""
    fig, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    draw_densities(axes[0])
    for ax, weight in zip(axes[1:], (LAMBDA, 1.0)):
        draw_slopes(ax, weight)
    axes[1].plot(line, stuck, color=FAKE, lw=1, ls=":", label="λ = 10 from the start")
    axes[1].legend(loc="upper left")
    lesson.figure(fig, "slopes")


def draw_densities(ax):
    for density, color, name in ((real.pdf(line), REAL, "$p_r$, real"),
                                 (fake.pdf(line), FAKE, "$p_g$, generated")):
        ax.fill_between(line, density, color=color, alpha=0.25)
        ax.plot(line, density, color=color, label=name)
    ax.plot(line, rho, color=THEORY, lw=1.2, label="ρ, points between")
    ax.set(xlim=(-4, 4), ylim=(0, 1.15), xlabel="x", ylabel="density")
    ax.set_title("Where the penalty looks")
    ax.legend(loc="upper right")


def draw_slopes(ax, weight):
    slopes = np.stack([slopes for slopes, _ in learned[weight]])
    for level in (-1, 1):
        ax.axhline(level, color=THEORY, lw=0.8, ls=":")
    for i, row in enumerate(slopes):
        ax.plot(line, row, color=LEARNED, lw=1.4, alpha=0.8, label=None if i else "learned f'")
    ax.plot(line, exact[weight], color=THEORY, ls="--", lw=1.3,
            label="sign(Δ)(1 + |Δ|/(2λρ))")
    ax.set(xlim=(-4, 4), ylim=(-3.8, 4.8) if weight == 1 else (-1.5, 2.3), xlabel="x",
           ylabel="slope of the critic")
    ax.set_title(f"λ = {weight:g}")
    ax.legend(loc="upper left")


figure_of_slopes()

# %%
lesson.step("""
    5. What the penalty does not say
    Claim. It is soft, two-sided and on sampled lines. It is not |∇f| <= 1 everywhere.
      1. Soft: by step 4 the best critic is steeper than 1 wherever there is mass to move.
      2. Two-sided: a slope of 1 - a costs as much as 1 + a. W1 only forbids more than 1.
      3. On lines: where no x̂ falls the slope costs nothing, and may be anything.
      4. By 2, at p_g = p_r, with nothing left to learn, the best slope is ±1 and not 0. A generator
         of one point θ, with the data at 0, follows  θ ← θ - h sign(θ) (1 + |θ|/(2λ)):  steps that
         never get shorter. It ends up jumping between ±θ* with 2θ* = h (1 + θ*/(2λ)), that is
         θ* = h/(2 - h/(2λ)) (Mescheder et al. 2018: WGAN-GP does not converge).
      5. So h must shrink: with h → 0, θ → 0. All generators below are trained that way.
""")
lesson.check("soft: steepest slope of the exact critic, λ = 10", np.abs(exact[LAMBDA]).max(),
             1.235329, tolerance=5e-7)
at = constant(rng.standard_normal((5, 3, 4, 4)))
unit = 1 / math.sqrt(48)  # 48 equal slopes of this size have length 1
lesson.check("two-sided: the penalty at slopes 1/2 and 3/2",
             [gradient_penalty(sums(a * unit), at).item() for a in (0.5, 1.5)], 0.25)


def bent(x):
    """Slope 1.1 up to x = 2, where the real point is; beyond it 5.1."""
    return 1.1 * x + 4.0 * ops.relu(x - 2.0)


x, y = constant(np.full((64, 1), 2.0)), constant(np.zeros((64, 1)))
between = interpolate(x, y, rng)
straight_loss, bent_loss = [critic_loss(f(x), f(y)) + LAMBDA * gradient_penalty(f, between)
                            for f in (lambda x: 1.1 * x, bent)]
lesson.check("on lines: slope 5.1 beyond them, the same loss", bent_loss, straight_loss)


def end_of_descent(h, steps, decay):
    """|θ| after so many steps of length h against the exact critic, h constant or falling to 0."""
    theta = 1.0
    for i in range(steps):
        slope = best_slope(math.copysign(1.0, theta), 1 / abs(theta), LAMBDA)
        theta -= h * (1 - i / steps if decay else 1) * slope
    return abs(theta)


h, steps = 0.2, 4000
lesson.check("h = .2 throughout: |θ| in the end", end_of_descent(h, steps, False),
             h / (2 - h / (2 * LAMBDA)))
lesson.check("h falling to 0: |θ| in the end", end_of_descent(h, steps, True), 0.0,
             tolerance=1.1 * h / steps, why="its last step")

# %%
lesson.step("""
    6. No batch norm in this critic
    Claim. The penalty takes Σ_i f(x_i) and reads its gradient in x_j as that of f(x_j). With batch
    norm that is another number.
      1. It is right if f(x_i) does not depend on x_j for i ≠ j. Batch norm makes it (lesson 01).
      2. For a linear f behind a batch norm, Σ_i f(x_i) is one number whatever the x_i are: in each
         channel normalised values sum to 0. Its gradient is 0, and the penalty (0 - 1)² = 1, for
         every weight of the critic: it has nothing to learn from it.
      3. Layer norm takes its mean and deviation from one sample. There the penalty is right.
""")
n, features = 16, 4
x = mg.Tensor(rng.standard_normal((n, features, 1, 1)), dtype="float32")


def behind(norm):
    """A linear critic of points (n, 4, 1, 1), after this normalisation."""
    return nn.Sequential(norm, nn.Flatten(), nn.Linear(features, 1, generator=rng))


def own_penalty(critic):
    """The penalty, from one sample's score at a time."""
    points = mg.Tensor(x, requires_grad=True)
    own = [mg.grad(critic(points)[i].sum(), points)[0].numpy()[i] for i in range(n)]
    return ((np.linalg.norm(np.reshape(own, (n, -1)), axis=1) - 1) ** 2).mean()


batch, layer = behind(nn.BatchNorm2d(features)), behind(nn.LayerNorm((features, 1, 1)))
lesson.say(f"from each sample's own slope: {own_penalty(batch):.4f} with batch norm, "
           f"{own_penalty(layer):.4f} with layer norm")
lesson.check("batch norm: the penalty, whatever the weights", gradient_penalty(batch, x), 1.0,
             tolerance=1e-5, why="float32")
lesson.check("layer norm: the penalty", gradient_penalty(layer, x), own_penalty(layer),
             tolerance=1e-5, why="float32")

# %%
lesson.step("""
    7. Critic and generator in turn: is the critic's loss a distance?
    Claim. E_r[f] - E_g[f] falls with W1 while G learns. It overrates W1, by what step 4 says; and
    divided by the steepest slope of f it never exceeds W1.
      1. Algorithm 1: some steps of the critic, down its loss; then one of G, down -E_g[f].
      2. The critic lowers E_g[f] and G raises it. So the fakes enter the critic's step as numbers
         (`detach`): what its loss would send to G has the wrong sign.
      3. Let K be the steepest slope. f/K is a critic of slope at most 1, and by the duality of
         lesson 06  (E_r[f] - E_g[f])/K <= W1,  for the same points and whatever f is.
      4. The best f has E_r[f] - E_g[f] = W1 + ∫Δ²/(2λρ) (step 4). A critic in training is behind,
         for G has moved since.
    On the line all of it is known: W1 from sorted points, ρ from many x̂. G turns N(0, 1) into the
    two modes, slowly; four steps of the critic for one of G, and λ = 1, so that no trap is set.
""")
VALUE = "W1, as the critic has it"


class Game:
    """A critic and a generator that learn in turn (algorithm 1).

    draw, noise: n -> n real points, n inputs of the generator. rates: the learning rates of critic
    and generator at the start. turns: steps of the critic for each one of the generator.
    """

    def __init__(self, critic, generator, draw, noise, rates, weight, batch, turns=1):
        self.critic, self.generator = critic, generator
        self.draw, self.noise = draw, noise
        self.rates, self.weight, self.batch, self.turns = rates, weight, batch, turns
        self.optimisers = [optim.Adam(net.parameters(), betas=(0.0, 0.9))
                           for net in (critic, generator)]

    def fakes(self, n):
        return self.generator(self.noise(n))

    def loss_and_value(self, x, y):
        """The critic's loss (eq. 3), and its estimate of W1."""
        y = y.detach()
        value = -critic_loss(self.critic(x), self.critic(y))
        penalty = gradient_penalty(self.critic, interpolate(x, y, rng))
        return self.weight * penalty - value, value

    def round(self, left):
        """The critic's turns, and the generator's. left: how much is left of the rates."""
        for optimiser, rate in zip(self.optimisers, self.rates):
            optimiser.lr = left * rate
        for _ in range(self.turns):
            y = self.fakes(self.batch)
            loss, value = self.loss_and_value(self.draw(self.batch), y)
            minimise(loss, self.optimisers[0], self.critic)
        minimise(generator_loss(self.critic(y)), self.optimisers[1], self.generator)
        return {VALUE: value}

    def play(self, rounds, look, shots, label):
        """(losses, what look() saw after each of the rounds in shots); the rates fall to 0."""
        seen = []

        def step(i):
            losses = self.round(1 - i / rounds)
            if i + 1 in shots:
                seen.append(look())
            return losses

        return train(step, rounds, label=label).losses, seen


def single(array):
    """A float32 Tensor."""
    return mg.Tensor(array, dtype="float32")


on_line = Game(Discriminator(1, generator=rng), Generator(1, 1, generator=rng),
               lambda n: single(real.sample(n, rng).reshape(-1, 1)),
               lambda n: mg.randn(n, 1, generator=rng), (0.006, 0.0008), 1.0, 256, turns=4)
loss, _ = on_line.loss_and_value(on_line.draw(64), on_line.fakes(64))
loss.backward()
reached = sum(p.grad is not None for p in on_line.generator.parameters())
lesson.check("the critic's loss: parameters of G that it reaches", reached, 0)


def value_of_best(x, y, weight, n=100_000):
    """W1 + ∫Δ²/(2λρ) of the points x and y, with ρ from n pairs of them."""
    pairs = [constant(rng.choice(points, n)) for points in (x, y)]
    rho, edges = np.histogram(interpolate(*pairs, rng).numpy(), 200, density=True)
    middle = (edges[1:] + edges[:-1])[rho > 0] / 2
    F_r, F_g = (np.searchsorted(np.sort(points), middle) / len(points) for points in (x, y))
    overrated = ((F_g - F_r) ** 2 / (2 * weight * rho[rho > 0])).sum() * (edges[1] - edges[0])
    return wasserstein1_samples(x, y) + overrated


fixed = real.quantile((np.arange(2000) + 0.5) / 2000)


def distances_now():
    """(W1 of 2000 + 2000 points, the best critic's value, ours, ours over its steepest slope)."""
    with mg.no_grad():
        made = on_line.fakes(2000).numpy().ravel().astype(np.float64)
    both = np.concatenate([fixed, made])
    everywhere = np.linspace(both.min(), both.max(), 1000)
    x = mg.Tensor(np.concatenate([both, everywhere]).reshape(-1, 1), requires_grad=True,
                  dtype="float32")
    scores = on_line.critic(x)
    slopes, = mg.grad(scores.sum(), x)
    scores = scores.numpy().astype(np.float64)
    value = scores[:2000].mean() - scores[2000:4000].mean()
    return (wasserstein1_samples(fixed, made), value_of_best(fixed, made, on_line.weight), value,
            value / np.abs(slopes.numpy()).max())


line_shots = np.arange(5, 201, 5)
_, seen = on_line.play(200, distances_now, line_shots, "on the line")
w1_now, best_now, value_now, bound_now = np.transpose(seen)
lesson.say("\n".join(f"round {shot:3}: W1 {w:.3f}, the best critic {best:.3f}, ours {value:.3f}, "
                     f"over its steepest slope {bound:.3f}"
                     for shot, (w, best, value, bound) in list(zip(line_shots, seen))[1::8]))
lesson.check("value over steepest slope, its excess over W1", max(0.0, (bound_now - w1_now).max()),
             0.0, tolerance=1e-3, why="slopes at 5000 points, in float32")
lesson.check("rounds 10 to 200: our critic's value over the best one's",
             value_now[1:].mean() / best_now[1:].mean(), 1.0, "trained", 0.2,
             why="3 runs: .90 to .92, being behind; sd .013")

# %%
lesson.step("""
    8. A generator for separate modes needs noise in separate pieces
    Claim. A continuous G makes bridges between modes out of connected noise, and not only by
    mistake: with modes at ±a, equal halves and slopes of at most K, a share of at least
    2 Φ(c/K) - 1 of its samples has |G(z)| < c < a, for z ~ N(0, 1).
      1. G is continuous and N(0, 1) has no gaps: G passes 0 on its way from -a to a, at some z₀.
      2. From there it needs a length of c/K in z to be beyond ±c. So all z with |z - z₀| < c/K are
         on the bridge. For halves of equal mass z₀ = 0.
      3. The best such G is  K z, cut off at ±a: then the share *is* 2 Φ(c/K) - 1.
      4. Training must make K large to make it small, and that takes long. Noise with gaps needs no
         bridge: eight coins, z = ±1, and a little N(0, .1²) on each, are 2⁸ islands. How many modes
         there are, and where, the noise does not know.
""")
K, a, c = 10.0, 2.0, 1.5
n = 100_000
z = rng.standard_normal(n)
bridge = integrate(Gaussian(0, 1).pdf, -c / K, c / K)
lesson.check("K = 10: P(|z| < c/K) = 2 Φ(c/K) - 1", bridge, 2 * Gaussian(0, 1).cdf(c / K) - 1,
             "quadrature")
lesson.check("... share of samples on the bridge", (np.abs(np.clip(K * z, -a, a)) < c).mean(),
             bridge.value, "monte-carlo", n=n,
             standard_error=math.sqrt(bridge.value * (1 - bridge.value) / n))

# %%
lesson.step("""
    ... 8 modes on a ring, 25 on a grid
    Two perceptrons, one step of each in turn. What the steps above say about how:
      1. Data are scaled to variance 1, and λ = .3: by step 4, λ < |Δ|/(2ρ) sets no trap, and |Δ|/ρ
         is a length, some distance between real and generated points. G needs only directions, so
         that it does not matter that such a critic overrates W1.
      2. The learning rates fall to 0, or G would never come to rest (step 5).
      3. Adam without momentum, betas (0, .9) (the paper: algorithm 1 has β₁ = 0).
      4. Weights of variance 2/inputs (He et al. 2015). With 1/(3 inputs), nn.Linear's own, each
         layer shrinks a signal by √6, three by 15: G and critic would start nearly flat.
    A sample is good if it lies within 3σ of a mode's centre; of p_r's own samples 1 - e^(-4.5) =
    98.9% do, in the plane. A mode is found if it has at least a quarter of its share. σ is a tenth
    of the distance between neighbours: .15 on the ring of radius 2, .2 on the grid with spacing 2.
    With --full the grid is the paper's too, σ = .05, and takes 14 times as long.
""")
COINS = 8


def coins(n):
    """Noise (n, 8): islands at ±1, each N(0, .1²) wide."""
    return single(rng.choice([-1.0, 1.0], (n, COINS)) + 0.1 * rng.standard_normal((n, COINS)))


def cloud(n):
    """Noise (n, 8) in one piece, N(0, 1)."""
    return single(rng.standard_normal((n, COINS)))


def perceptron(*widths):
    """Leaky ReLU between linear layers, with weights of variance 2/inputs."""
    net = nn.MLP(widths, lambda: nn.LeakyReLU(0.2), rng)
    for linear in net.layers[::2]:
        linear.weight = nn.init.kaiming_normal(linear.weight.shape, generator=rng)
    return net


def judge(density, samples):
    """(share of samples beyond 3σ of every centre; of each of the K modes, its share times K)."""
    centres = np.stack([mode.mean for mode in density.components])
    std = math.sqrt(density.components[0].cov[0, 0])
    distance = np.linalg.norm(samples[:, None] - centres, axis=2)
    good = distance.min(axis=1) < 3 * std
    counts = np.bincount(distance.argmin(axis=1)[good], minlength=len(centres))
    return 1 - good.mean(), counts * len(centres) / len(samples)


class Learned:
    """What a generator made of a density of separate modes: on the way, and in the end."""

    def __init__(self, name, density, noise, rounds):
        self.name, self.density = name, density
        self.scale = math.sqrt(np.trace(density.cov) / 2)
        self.reach = 1.35 * max(abs(mode.mean).max() for mode in density.components)
        self.shots = [rounds // 8, rounds // 4, rounds // 2, 3 * rounds // 4, rounds]
        self.game = Game(perceptron(2, 64, 64, 64, 1), perceptron(COINS, 64, 64, 64, 2),
                         lambda n: single(density.sample(n, rng) / self.scale), noise,
                         (0.01, 0.006), 0.3, 256)
        _, self.seen = self.game.play(rounds, self.look, self.shots, name)
        self.beyond, self.shares = judge(density, self.samples(20_000))
        self.found = (self.shares > 0.25).sum()
        lesson.say(f"{name}: {self.found} of {len(self.shares)} modes, with {self.shares.min():.2f}"
                   f" to {self.shares.max():.2f} of their share; {100 * (1 - self.beyond):.1f}% of "
                   "samples within 3σ")

    def samples(self, n):
        """Generated points (n, 2), in the units of the data."""
        with mg.no_grad():
            return self.scale * self.game.fakes(n).numpy().astype(np.float64)

    def look(self, pixels=80):
        """(1000 samples, the critic's scores on a square grid)."""
        axis = np.linspace(-self.reach, self.reach, pixels) / self.scale
        points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        with mg.no_grad():
            scores = self.game.critic(single(points)).numpy().reshape(pixels, pixels)
        return self.samples(1000), scores


data_ring = ring(8, 2.0, 0.15)
bridged = Learned("ring, noise in one piece", data_ring, cloud, 700)
on_ring = Learned("ring, coins", data_ring, coins, 700)
on_grid = Learned("grid, coins", grid(5, 2.0, 0.2), coins, 2200)
lesson.check("p_r itself: samples beyond 3σ", judge(data_ring, data_ring.sample(n, rng))[0],
             math.exp(-4.5), "monte-carlo", n=n, standard_error=math.sqrt(math.exp(-4.5) / n))
for run, modes, spread in ((on_ring, 8, ".023 to .028"), (on_grid, 25, ".031 to .060")):
    name = f"{modes} modes, {run.name}"
    lesson.check(f"{name}: found", run.found, modes, "trained", 0, why="3 runs: all")
    lesson.check(f"{name}: samples beyond 3σ, less than 10%", run.beyond, math.exp(-4.5), "trained",
                 0.1 - math.exp(-4.5), why=f"the bar is .1; 3 runs: {spread}")
if lesson.full:
    Learned("the paper's grid, σ = .05, coins", grid(5, 2.0, 0.05), coins, 30_000)


def figure_of_modes():
    """Three trainings as rows, the time from left to right: samples on the critic's levels."""
    rows = (bridged, on_ring, on_grid)
    fig, axes = plt.subplots(3, 5, figsize=(12, 7.6), layout="constrained")
    for row, learned_modes in zip(axes, rows):
        draw_strip(row, learned_modes)
    fig.suptitle("Samples as G learns, on the critic's level lines (light: high, taken for real)",
                 fontsize=11)
    lesson.figure(fig, "modes")


def draw_strip(row, run):
    side = np.linspace(-run.reach, run.reach, len(run.seen[0][1]))
    centres = np.stack([mode.mean for mode in run.density.components])
    for ax, shot, (samples, scores) in zip(row, run.shots, run.seen):
        beyond, shares = judge(run.density, samples)
        ax.contourf(side, side, scores, 14, cmap="Greys_r", alpha=0.55)
        ax.plot(*centres.T, "o", mfc="none", color=REAL, ms=7, mew=0.9)
        ax.plot(*samples.T, ".", color=FAKE, ms=2.6, alpha=0.6, mew=0)
        ax.set(xlim=(-run.reach, run.reach), ylim=(-run.reach, run.reach), xticks=[], yticks=[],
               aspect="equal")
        ax.set_title(f"round {shot}: {(shares > 0.25).sum()} modes, {100 * (1 - beyond):.0f}% good",
                     fontsize=8.5, fontweight="normal")
        ax.spines[:].set_visible(False)
    row[0].set_ylabel(run.name, fontweight="bold")


figure_of_modes()

# %%
lesson.step("""
    9. Images
    The same game with convolutions: two strided ones in the critic, with neither batch norm (step
    6) nor a sigmoid, and their mirror image in G.
      1. λ has a unit, a length. For two points at distance θ the limit of step 4, |Δ|/(2ρ), is
         θ/2; λ = 3 is below it, as two images are some 10 apart.
      2. W1 is not known here. The critic's value is what we have, and step 7 says how it errs: it
         is too large for the penalty is soft, too small for the critic is behind.
      3. It still falls by much as G learns. Of its last small part one cannot say whether G got
         better or the critic: the slower G moves, the less the critic is behind.
    Which digits were made? A linear probe (lesson 16), fitted to real images, names them.
""")
width, batch, rounds, rate = (32, 64, 12_000, 0.002) if lesson.full else (16, 24, 1000, 0.006)
LATENT = 32
images = load(lesson, 20_000 if lesson.full else 4000, 0)
_, channels, side, _ = images.train.shape
batches = Batches([images.train], batch, rng)
on_images = Game(ConvCritic(channels, side, width, rng),
                 ConvGenerator(LATENT, channels, side, width, rng),
                 lambda n: next(batches)[0], lambda n: mg.randn(n, LATENT, generator=rng),
                 (rate, 0.8 * rate), 3.0, batch)
some_noise = on_images.noise(8)


def made_of(z):
    """Generated images (n, channels, side, side)."""
    with mg.no_grad():
        return on_images.generator(z).numpy()


shots = [rounds * part // 64 for part in (1, 2, 4, 8, 16, 32, 64)]
losses, strip = on_images.play(rounds, lambda: made_of(some_noise), shots, "images")
values = losses[VALUE]
made = made_of(on_images.noise(1000))
flat = images.train[:1000].reshape(1000, -1)
names = Probe.fit(flat, images.train_labels[:1000]).predict(made.reshape(1000, -1))
shares = np.bincount(names, minlength=len(images.names)) * len(images.names) / 1000
apart = np.linalg.norm((images.train[:1000] - images.train[1000:2000]).reshape(1000, -1), axis=1)
lesson.say(f"Two real images are {apart.mean():.1f} apart; the critic's value: "
           f"{values[:20].mean():.2f} at first, {values[-20:].mean():.2f} at the end\n"
           "shares of the classes: "
           + ", ".join(f"{name} {share:.2f}" for name, share in zip(images.names, shares)))
lesson.check("images: classes found", (shares > 0.25).sum(), len(images.names), "trained", 1,
             why="3 runs: all; the least share was .56, a quarter is asked for")


def figure_of_images():
    """Real images; generated ones; and eight on the way."""
    fig, axes = plt.subplots(1, 3, figsize=(13.6, 4.2), layout="constrained")
    show(axes[0], images.train[:56], 8, "Real")
    show(axes[1], made[:56], 8, "Generated: the first 56")
    show(axes[2], np.concatenate(strip), 8, "Eight, as G learns, from top to bottom")
    lesson.figure(fig, "images")


def figure_of_values():
    """The critic's value as W1: on the line, where W1 is known, and for images."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    left.plot(line_shots, best_now, color=THEORY, ls="--", lw=1.2, label="W1 + ∫Δ²/(2λρ)")
    left.plot(line_shots, value_now, color=LEARNED, label="our critic's value")
    left.plot(line_shots, w1_now, color=THEORY, lw=2, label="W1")
    left.plot(line_shots, bound_now, color=LEARNED, ls=":", label="value over steepest slope")
    left.set(xlabel="round", ylabel="distance on the line", ylim=(0, None))
    left.set_title("On the line, λ = 1")
    left.legend()
    smooth = np.convolve(values, np.full(20, 1 / 20), "valid")
    right.plot(np.arange(1, len(values) + 1), values, color=LEARNED, lw=0.6, alpha=0.35)
    right.plot(np.arange(len(smooth)) + 10.5, smooth, color=LEARNED, label="mean of 20 rounds")
    right.set(xlabel="round", ylabel="distance of images")
    right.set_title("Images, λ = 3: the critic's value")
    right.legend()
    lesson.figure(fig, "values")


figure_of_images()
figure_of_values()

# %%
lesson.step("""
    10. Exercises
      a. Two points at distance 2. For which λ has the best critic slope 2? Is λ → 0 a good idea?
      b. Pixels in [-1, 1] instead of [0, 1]: all lengths double. Which λ gives the same slopes?
      c. Punish only slopes above 1: λ E[max(0, |∇f| - 1)²] (Petzka et al. 2018). What changes in
         the best critic on the line? And at p_g = p_r?
      d. In step 7 the critic takes four steps for one of G. What would its curve lose with one?
    Answers
      a. 1 + 2/(2λ) = 2: λ = 1. The smaller λ, the steeper the critic, and G's steps with it: the
         value is no longer a distance, though its direction stays right.
      b. 2λ. With x' = c x the density is ρ/c and Δ stays, so |Δ|/(2λ'ρ') = c |Δ|/(2λ'ρ).
      c. Where Δ ≠ 0 nothing: the best slope is above 1, and there the two penalties are equal. But
         |f'| < 1 is free, so at p_g = p_r the critic may lie flat, and θ of step 5 may rest.
      d. The critic would be behind: its value says how G compares with the critic, and not how far
         it is from the data. In steps 8 and 9 one must do, for G needs directions only.
""")
lesson.check("exercise a: best slope for λ = 1, θ = 2", newton(2.0, 1.0), 2.0)
lesson.check("exercise b: θ = 2 and λ = 10, θ = 4 and λ = 20", newton(4.0, 20.0),
             newton(2.0, 10.0))
s = leaf(exact[LAMBDA])
lesson.check("exercise c: slope of the one-sided J at the same s",
             mg.grad(objective(s, LAMBDA, one_sided=True), s)[0], 0.0)
lesson.finish()
