"""05. How a GAN trains: the generator's losses, rotation, collapse, and what theory leaves out

The question. Lesson 04 ended well: with the best D the game has one optimum, p_g = p_r. Why do real
GANs so often not get there? They stall, circle, or draw one thing again and again.

You will derive the gradients of the generator's two losses, and what the non-saturating one lowers,
KL(p_g||p_r) - 2 JSD; the eigenvalues of the smallest GAN, which turns in circles, and R1, which
damps it; why a generator that runs ahead of D collapses, and a feature with which D sees it; what
batch norm and noisy labels do to D; and five reasons why the optimum is not reached, each with its
number.

You need: the optimal discriminator (lesson 04), gradients of gradients (lesson 01).
Papers: Goodfellow et al. 2014 (the losses); Arjovsky and Bottou 2017 (their gradients); Mescheder,
Geiger and Nowozin 2018 (the Dirac-GAN, R1); Karras et al. 2018 (minibatch standard deviation);
Radford, Metz and Chintala 2016 (where batch norm goes); Salimans et al. 2016 (label smoothing).

Notation: p_r is the density of real data, p_g that of the generator's samples, D = σ(a) with the
logit a. All logarithms are natural.
"""

# %%
import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
from lesson import FAKE, LEARNED, REAL, THEORY, Lesson

import minigen as mg
from minigen import losses, nn, ops, optim
from minigen.densities import Gaussian, GaussianMixture, Uniform, ring
from minigen.divergences import js, kl
from minigen.models.gan import (Discriminator, Generator, MinibatchStd, discriminator_loss,
                                generator_loss, minimax_generator_loss, r1_penalty, value)
from minigen.quadrature import integrate
from minigen.training import minimise, train

LN2 = math.log(2)

lesson = Lesson("05_gan_dynamics", __doc__)
rng = lesson.rng


def leaf(array):
    """A float64 Tensor whose gradient we may ask for."""
    return mg.Tensor(array, requires_grad=True, dtype="float64")


def constant(array):
    """A float64 Tensor through which no gradient flows."""
    return mg.Tensor(array, dtype="float64")


# %%
lesson.step("""
    1. Two losses for the generator, with one difference: where they push
    Claim. In a logit a, the minimax loss ln(1 - D) has slope -D, the non-saturating loss -ln D has
    slope -(1 - D).
      1. G's part of V(D, G) is E_g[ln(1 - D)], which G lowers. With D = σ(a),
         ln(1 - D) = -softplus(a), and its slope is -σ(a) = -D.
      2. -ln D = softplus(-a), with slope -σ(-a) = -(1 - D).
      3. Both are negative: both want a raised, that is, have D take the fake for real.
      4. A D that knows a fake for certain has D → 0. There the minimax loss has no slope left:
         *the generator* is stuck, while D is doing well. The other one has its full slope of -1.
      5. Their ratio is D/(1 - D) = e^a. They agree where D = 1/2 and nowhere else.
""")
logits = leaf([[-10.0], [-2.0], [0.0], [3.0]])
d = ops.sigmoid(logits).numpy()
n = len(logits)
minimax_slope, = mg.grad(n * minimax_generator_loss(logits), logits)
saturating_not, = mg.grad(n * generator_loss(logits), logits)
lesson.say(f"at D = {d[0, 0]:.2g}: minimax slope {minimax_slope.numpy()[0, 0]:.2g}, "
           f"non-saturating {saturating_not.numpy()[0, 0]:.6f}")
lesson.check("minimax: slope in the logit is -D", minimax_slope, -d)
lesson.check("non-saturating: slope in the logit is -(1 - D)", saturating_not, -(1 - d))
lesson.check("minimax slope over the other, e^a", minimax_slope / saturating_not,
             np.exp(logits.numpy()))

# %%
lesson.step("""
    2. What the non-saturating loss goes down
    Claim. With D frozen at D*, its gradient is that of  KL(p_g||p_r) - 2 JSD(p_r, p_g).
      1. Let ∂ be the derivative in a parameter of G. With D* frozen, only p_g moves:
         ∂ E_g[-ln D*] = ∫ ∂p_g (-ln D*) dx.
      2. D* = p_r/(p_r + p_g) and 1 - D* = p_g/(p_r + p_g), so that
         -ln D* = ln(p_g/p_r) - ln(1 - D*).
      3. ∂ KL(p_g||p_r) = ∫ ∂p_g ln(p_g/p_r) dx + ∫ ∂p_g dx, and the last integral is 0: p_g keeps
         its mass of 1. That is the first term of 2.
      4. ∂ 2 JSD = ∂ V(D*, G) = ∫ ∂p_g ln(1 - D*) dx. D* moves too, but V is flat in D at D*.
         That is the second term, and also the gradient of the minimax loss.
      5. Together ∂ E_g[-ln D*] = ∂ [KL(p_g||p_r) - 2 JSD]  (Arjovsky and Bottou 2017, thm. 2.5).
    For p_r = N(0, 1) and p_g = N(.3, .7²), in the mean: .126818.
""")
data_law = Gaussian(0.0, 1.0)
mean, std = 0.3, 0.7


def slopes_with_d_frozen(loss):
    """The gradient of E_g[loss(logit D*(x))] for x = mean + std z, in mean and in std."""

    def integrand(z, power):
        x = leaf(mean + std * z.reshape(-1, 1))
        half_squares = ((x - mean) / std) ** 2 / 2 - x * x / 2  # ln p_r - ln p_g, up to ...
        logit = half_squares + math.log(std)                    # ... this constant
        slope, = mg.grad(z.size * loss(logit), x)
        return Gaussian(0, 1).pdf(z) * z ** power * slope.numpy().reshape(z.shape)

    return [integrate(lambda z: integrand(z, power), -9, 9, [0]).value for power in (0, 1)]


def difference_quotient(f, x, h=3e-3):
    """f'(x) from four points: the error is of order h⁴."""
    return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)


def reverse_kl_minus_2_js(mean, std):
    p_g = Gaussian(mean, std)
    return kl(p_g, data_law).value - 2 * js(data_law, p_g).value


def twice_js(mean, std):
    return 2 * js(data_law, Gaussian(mean, std)).value


def slopes_of(f):
    return [difference_quotient(lambda m: f(m, std), mean),
            difference_quotient(lambda s: f(mean, s), std)]


non_saturating = slopes_with_d_frozen(generator_loss)
lesson.check("non-saturating: its gradient with D* frozen", non_saturating[0], 0.126818,
             "quadrature", 5e-7)
lesson.check("... = the gradient of KL - 2 JSD, mean and std", non_saturating,
             slopes_of(reverse_kl_minus_2_js), "quadrature", 2e-8)
lesson.check("minimax: the gradient of 2 JSD, mean and std",
             slopes_with_d_frozen(minimax_generator_loss), slopes_of(twice_js), "quadrature", 2e-8)

# %%
lesson.step("""
    3. Mode dropping: to miss half of the data is cheap
    Claim. For KL(p_g||p_r) - 2 JSD, leaving out half of the data costs .2616 nats, and drawing
    things that do not exist costs infinitely much. Maximum likelihood has it the other way round.
      1. p_r = U(0, 2), p_g = U(0, 1), half of it: KL(p_g||p_r) = ln 2 = .6931. JSD = .2158 (lesson
         04), and it is counted with the sign of a reward: .6931 - 2 (.2158) = .2616.
      2. p_r = U(0, 1), p_g = U(0, 2): where only p_g lies, ln(p_g/p_r) = ∞.
      3. Maximum likelihood lowers KL(p_r||p_g), with the arguments exchanged: to leave out data
         costs ∞, to draw half of the samples in the void costs ln 2.
    So let p_g = N(μ, σ²) learn two modes at ±2. It cannot have both. Of all Gaussians, the one with
    the least KL(p_g||p_r) - 2 JSD is one mode, exactly; that of most likelihood has the mean and
    the variance of the data, and most of its mass in the void between the modes.
""")
half, whole = Uniform(0, 1), Uniform(0, 2)
lesson.check("the price of leaving out half of the data",
             kl(half, whole).value - 2 * js(whole, half).value, 0.2616, "quadrature", 5e-5)
lesson.check("the price of inventing as much", kl(whole, half).value, math.inf, "quadrature")
lesson.check("... for maximum likelihood", kl(half, whole), LN2, "quadrature")

two_modes = GaussianMixture([0.5, 0.5], [Gaussian(-2.0, 0.5), Gaussian(2.0, 0.5)])
line = np.linspace(-14, 14, 1121)
width = line[1] - line[0]  # on a fine grid, a plain sum integrates smooth bumps to rounding


def reverse_kl_minus_2_js_on_line(log_r, log_g):
    """KL(p_g||p_r) - 2 JSD, summed along the last axis."""
    log_m = np.logaddexp(log_r, log_g) - LN2
    r, g = np.exp(log_r), np.exp(log_g)
    return width * (g * (log_m - log_r) - r * (log_r - log_m)).sum(axis=-1)


means, stds = np.linspace(0, 3, 61), np.linspace(0.3, 2.5, 45)  # steps of .05
log_r = two_modes.log_pdf(line)
costs = np.array([[reverse_kl_minus_2_js_on_line(log_r, Gaussian(m, s).log_pdf(line))
                   for s in stds] for m in means])
best = np.unravel_index(costs.argmin(), costs.shape)
dropped = Gaussian(means[best[0]], stds[best[1]])
covered = Gaussian(two_modes.mean, two_modes.std)
lesson.say(f"KL - 2 JSD of N({dropped.mean:.2f}, {dropped.std:.2f}²): {costs[best]:.4f};  of "
           f"N({covered.mean:.2f}, {covered.std:.2f}²), which has most likelihood: "
           f"{reverse_kl_minus_2_js_on_line(log_r, covered.log_pdf(line)):.4f}")
lesson.check("least KL - 2 JSD: one mode, N(2, .5²)", [dropped.mean, dropped.std], [2.0, 0.5],
             tolerance=0.026)
lesson.check("... at the price of half of the data", costs[best], 0.2616, "quadrature", 5e-5)
likely = np.array([[-(Gaussian(m, s).log_pdf(line) * np.exp(log_r)).sum() for s in stds]
                   for m in means])
best = np.unravel_index(likely.argmin(), likely.shape)
lesson.check("most likelihood: the data's mean and deviation", [means[best[0]], stds[best[1]]],
             [0.0, math.sqrt(2.0**2 + 0.5**2)], tolerance=0.026)

# %%
lesson.step("""
    4. The smallest GAN turns in circles
    p_r is a point at 0, p_g a point at θ, and D(x) = σ(ψ x): the Dirac-GAN. At θ = ψ = 0 all is
    learned. Does training get there? Let the two descend with steps of size h.
      1. V = ln σ(0) + ln(1 - σ(ψ θ)) = -ln 2 - softplus(ψ θ). D raises it, G lowers it:
         ψ' = ∂V/∂ψ = -σ(ψ θ) θ   and   θ' = -∂V/∂θ = σ(ψ θ) ψ.
      2. θ θ' + ψ ψ' = 0: the field stands at right angles to the way to the optimum, everywhere.
         Time passes, and the distance √(θ² + ψ²) stays what it was.
      3. Near 0, σ = 1/2, and (θ, ψ)' = J (θ, ψ) with J = 1/2 [0 1; -1 0], whose eigenvalues are
         ±i/2: a rotation. The non-saturating loss has σ(-ψ θ) for G, 1/2 there too: the same J.
      4. Simultaneous steps are I + h J: |λ| = √(1 + h²/4) > 1. They *leave* the optimum, whatever
         the step size.
      5. Alternating, D first: θ sees the new ψ. The map is [1 - h²/4, h/2; -h/2, 1], of
         determinant 1 and trace 2 - h²/4: |λ| = 1 for h < 4. It goes round for ever.
      6. R1 adds γ/2 E_r[(da/dx)²] = γ ψ²/2 to D's loss, and with it -γ ψ to ψ'. Now
         J = [0 1/2; -1/2 -γ], with eigenvalues -γ/2 ± √(γ²/4 - 1/4): real part < 0. It is damped,
         fastest at γ = 1 (Mescheder et al. 2018, section 4.1).
""")


class DiracD(nn.Module):
    """The logit ψ x."""

    def __init__(self, psi):
        self.psi = psi

    def forward(self, x):
        return self.psi * x


AT_0 = constant([[0.0]])  # the one real point


def to_psi(theta, psi, gamma=0.0):
    """ψ': up the value, less γ times R1."""
    d = DiracD(psi)
    gain = value(d(AT_0), d(theta.reshape(1, 1))) - gamma * r1_penalty(d, AT_0)
    return mg.grad(gain, psi, create_graph=True)[0]


def to_theta(theta, psi, loss=minimax_generator_loss):
    """θ': down the generator's loss, with ψ a mere number to it, even if it was made from θ."""
    here = theta + 0.0  # behind ψ lies θ, but not this
    return -mg.grad(loss(DiracD(psi)(here.reshape(1, 1))), here, create_graph=True)[0]


def simultaneous(theta, psi, h, **options):
    return theta + h * to_theta(theta, psi), psi + h * to_psi(theta, psi, **options)


def alternating(theta, psi, h):
    psi = psi + h * to_psi(theta, psi)
    return theta + h * to_theta(theta, psi), psi


def jacobian(step, theta=0.0, psi=0.0):
    """The 2 x 2 matrix of derivatives of a map of (θ, ψ), by the engine."""
    x = leaf(theta), leaf(psi)
    return np.array([[g.item() for g in mg.grad(y, x, retain_graph=True)] for y in step(*x)])


def trajectory(step, start, steps):
    """(steps + 1, 2): where the map leads from (θ, ψ) = start."""
    path = [start]
    for _ in range(steps):
        path.append([y.item() for y in step(*map(leaf, path[-1]))])
    return np.array(path)


def field(theta, psi, gamma=0.0, loss=minimax_generator_loss):
    return to_theta(theta, psi, loss), to_psi(theta, psi, gamma)


def spectrum(matrix):
    return np.sort_complex(np.linalg.eigvals(matrix))


h, gamma = 0.2, 0.3
at = rng.standard_normal(2)
v = [y.item() for y in field(*map(leaf, at))]
lesson.check("the field is at right angles to the way home", np.dot(at, v), 0.0)
for name, loss in (("minimax", minimax_generator_loss), ("non-saturating", generator_loss)):
    eigenvalues = spectrum(jacobian(lambda *x: field(*x, loss=loss)))
    lesson.check(f"{name}: eigenvalues of the field, ±i/2",
                 [eigenvalues.real, eigenvalues.imag], [[0, 0], [-0.5, 0.5]])
together = jacobian(lambda *x: simultaneous(*x, h))
in_turn = jacobian(lambda *x: alternating(*x, h))
lesson.check("simultaneous: |λ| = √(1 + h²/4)", abs(spectrum(together)), math.sqrt(1 + h * h / 4))
lesson.check("alternating: |λ| = 1", abs(spectrum(in_turn)), 1.0)
gammas = np.array([0.3, 0.7, 2.0])
damped = np.array([spectrum(jacobian(lambda *x: field(*x, gamma=g))) for g in gammas])
roots = np.sqrt(gammas**2 / 4 - 0.25 + 0j)[:, None] * [-1, 1] - gammas[:, None] / 2
lesson.check("R1: eigenvalues, real parts", damped.real, roots.real)
lesson.check("R1: eigenvalues, imaginary parts", abs(damped.imag), abs(roots.imag))

# %%
lesson.step("""
    ... and the trajectories do what the eigenvalues say
      1. From 1e-6 away all is as good as linear. Simultaneous steps lengthen every vector alike:
         after k steps the distance is (1 + h²/4)^{k/2} times the first.
      2. A map of determinant 1 and trace τ keeps a quadratic form: here θ² + ψ² - (h/2) θ ψ, an
         ellipse. It must be the same after k steps.
      3. With R1, two trajectories span a parallelogram, whose area each step multiplies by
         det(I + h J) = |λ|² = 1 - γ h + h²/4.
""")
k, tiny = 200, 1e-6
out = trajectory(lambda *x: simultaneous(*x, h), [tiny, 0.0], k)
round_ = trajectory(lambda *x: alternating(*x, h), [tiny, 0.0], k)
home = [trajectory(lambda *x: simultaneous(*x, h, gamma=gamma), start, k)
        for start in ([tiny, 0.0], [0.0, tiny])]
lesson.check("simultaneous, measured: growth a step",
             (np.linalg.norm(out[-1]) / tiny) ** (1 / k), math.sqrt(1 + h * h / 4))
form = (round_**2).sum(axis=1) - h / 2 * round_.prod(axis=1)
lesson.check("alternating, measured: the ellipse after each step", form / tiny**2, 1.0)
area = np.linalg.det([home[0][-1], home[1][-1]]) / tiny**2
lesson.check("R1, measured: growth a step", abs(area) ** (1 / (2 * k)),
             math.sqrt(1 - gamma * h + h * h / 4))


def figure_of_rotation():
    """The field of the Dirac-GAN with a trajectory for each way to train; and their distances."""
    fig, axes = plt.subplots(1, 4, figsize=(15, 4.1), layout="constrained")
    ways = [("simultaneous: outwards", FAKE, 0.0, lambda *x: simultaneous(*x, h)),
            ("alternating: round and round", REAL, 0.0, lambda *x: alternating(*x, h)),
            ("simultaneous with R1: home", LEARNED, gamma,
             lambda *x: simultaneous(*x, h, gamma=gamma))]
    for ax, (title, color, damping, step) in zip(axes, ways):
        path = trajectory(step, [1.0, 0.0], 220)
        draw_field(ax, damping)
        ax.plot(*path.T, color=color, lw=1.6)
        ax.plot(*path[0], "o", color=color, ms=5)
        ax.plot(0, 0, "*", color=THEORY, ms=11)
        ax.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xlabel="θ, where the fakes are")
        ax.set_title(title)
        axes[3].plot(np.linalg.norm(path, axis=1), color=color, label=title.split(":")[0])
    axes[0].set_ylabel("ψ, the slope of D's logit")
    axes[3].set(yscale="log", xlabel="step", ylabel="distance from the optimum")
    axes[3].set_title(f"h = {h}, γ = {gamma}")
    axes[3].legend(loc="lower left")
    lesson.figure(fig, "rotation")


def draw_field(ax, damping):
    """Streamlines of (θ', ψ')."""
    side = np.linspace(-3, 3, 13)
    v = np.array([[[t.item() for t in field(leaf(theta), leaf(psi), damping)] for theta in side]
                  for psi in side])
    ax.streamplot(side, side, v[..., 0], v[..., 1], color="0.8", density=0.8, linewidth=0.8,
                  arrowsize=0.8)


figure_of_rotation()

# %%
lesson.step("""
    5. One step of training, and what detach is for
    Claim. D's loss has a gradient in G's parameters too. It points the wrong way, and G must not
    get it.
      1. D(G(z)) stands in both losses. J_D = -V/2, so that  dJ_D/dG = -1/2 dV/dG:  with it G would
         help D to tell its fakes.
      2. With `loss_d.backward(); loss_g.backward(); step_g()` and no zeroing between the two, G's
         gradient is the sum: dV/dG - 1/2 dV/dG, half of the minimax gradient. No error is raised.
      3. `fakes.detach()` are the same points without their past: D's loss ends there. It also
         saves the way back through G. `minimise` asks for the gradients of one player only, and so
         is safe either way; but it cannot make good the time.
""")


def loss_of_d(d, x_real, fakes):
    return discriminator_loss(d(x_real), d(fakes.detach()))


d, g = Discriminator(2, generator=rng), Generator(4, 2, generator=rng)
x_real, z = mg.randn(16, 2), mg.randn(16, 4)
fakes = g(z)
kept_out = mg.grad(loss_of_d(d, x_real, fakes), g.parameters(), allow_unused=True)
lesson.check("gradients that D's loss leaves in G", sum(t is not None for t in kept_out), 0)
let_in = mg.grad(discriminator_loss(d(x_real), d(fakes)), g.parameters(), retain_graph=True)
own = mg.grad(minimax_generator_loss(d(fakes)), g.parameters())
lesson.check("not detached: G gets half of its gradient",
             np.concatenate([(a + b).numpy().ravel() for a, b in zip(own, let_in)]),
             np.concatenate([a.numpy().ravel() / 2 for a in own]), tolerance=1e-7)

# %%
lesson.step("""
    6. Mode collapse: G's best answer to a fixed D is a point
    Claim. If G runs ahead of D, all of p_g gathers where D is highest, whatever p_r is.
      1. G lowers E_g[l(D(x))], with l falling in D. A mean is never below the least of its values:
         E_g[l(D(x))] >= min_x l(D(x)), and p_g reaches it with all of its mass at argmax D.
      2. The theory is min_G max_D V: D answers every G in full. With the order exchanged,
         max_D min_G V, G is a point at each moment. Descent by turns does not know which is meant;
         it depends on who is faster (Goodfellow 2016, section 5.1).
      3. D answers by lowering that point, the highest one is now elsewhere, and G moves there. It
         may visit all modes and still never hold two of them.
      4. D cannot object to the sameness itself. It sees a point at a time, and each of the fakes
         alone is as good as real.
    Then let D see more than one point: the standard deviation over the batch, as one more feature
    of each point.
      5. On a collapsed batch it is 0. On the 8-ring with radius R and modes of width s it is
         √(R²/2 + s²), the deviation of either coordinate.
      6. Its slope in the coordinate k of point i is (x_ik - m_k)/(n c s_k), for n points and c
         coordinates: away from the batch's mean m, with a size that does not fall as s → 0. So a G
         that has begun to collapse is told to spread.
""")
RADIUS, WIDTH = 6.0, 0.3
data_ring = ring(8, RADIUS, WIDTH)
feature = MinibatchStd()
collapsed = constant(np.tile([RADIUS, 0.0], (64, 1)))
lesson.check("the feature of a collapsed batch", feature(collapsed)[:, 2], 0.0)
points = data_ring.sample(100_000, rng)
deviation = math.sqrt(RADIUS**2 / 2 + WIDTH**2)
influence = ((points**2 - deviation**2) / (2 * deviation)).mean(axis=1)
lesson.check("the feature of the ring, √(R²/2 + s²)", feature(constant(points))[0, 2], deviation,
             "monte-carlo", n=len(points), standard_error=influence.std() / len(points)**0.5)
x = leaf(rng.standard_normal((6, 2)))
push, = mg.grad(feature(x)[0, 2], x)
lesson.check("its slope points away from the mean", push,
             (x.numpy() - x.numpy().mean(0)) / (6 * 2 * x.numpy().std(0)))

# %%
lesson.step("""
    7. The 8-ring, collapsing and cured
    G and D are perceptrons, and stay so. Two things in their favour, the same for all trainings:
      1. *Noise in islands.* A continuous G maps a connected set to a connected set. With normal
         noise alone, a G that holds 8 modes draws the bridges between them too. Here each
         coordinate of z is ±1 by a coin, plus N(0, .1²): 2⁸ islands for the modes to share, with
         10 deviations from each one's centre to the border of the next.
      2. *Lengths that D can see.* A fresh network bends over lengths of about 1. The radius 6 and
         s = .3 are the radius 2 and s = .1 of other rings, in a smaller unit of length. In the
         larger one, D soon sees the circle, and is slow to see that it has gaps.
    What differs is the pace, what D sees, and how steep it may be:
      *G ahead*         G makes five steps for each of D's, three times as long;
      *D sees a batch*  the same, but each point has the deviation of its batch as a feature;
      *in turn*         without the feature, one step each, and of one length;
      *in turn, R1*     the same, with the penalty that damped the rotation of step 4.
    In the second half the steps shrink to 0, or a pair that turns would never come to rest. A mode
    is held if a quarter of its share, 1/32 of all samples, lies within 3 s of it. A perfect G holds
    8 of 8, with 98.9% of its samples there: 1 - e^{-9/2}, the chance within 3 deviations in the
    plane.
""")
COINS = 8
STEPS = 3200 if lesson.full else 800
SHOTS = [STEPS * (k + 1) // 6 for k in range(6)]
centers = np.array([component.mean for component in data_ring.components])


def noise(n, rng):
    """z (n, 8): coins, ±1, and a little normal noise."""
    coins = rng.choice([-1.0, 1.0], (n, COINS))
    return mg.Tensor(coins + 0.1 * rng.standard_normal((n, COINS)), dtype="float32")


def census(samples):
    """Of the 8 modes, each one's share of the samples: those within 3 s of it."""
    away = np.linalg.norm(samples[:, None] - centers, axis=2)
    near = away.min(axis=1) < 3 * WIDTH
    return np.bincount(away.argmin(axis=1)[near], minlength=8) / len(samples)


def train_gan(sees_batch, g_steps, g_pace, gamma, batch=256):
    """Train on the ring; 1000 samples (1000, 2) after each of the SHOTS."""
    rng = np.random.default_rng(lesson.seed)
    g = Generator(COINS, 2, (64, 64), rng)
    d = Discriminator(3 if sees_batch else 2, (64, 64), rng)
    d = nn.Sequential(MinibatchStd(), d) if sees_batch else d
    optimiser_g = optim.Adam(g.parameters(), betas=(0.5, 0.999))
    optimiser_d = optim.Adam(d.parameters(), betas=(0.5, 0.999))
    strip = []

    def step(i):
        optimiser_d.lr = 4e-3 * min(1, 2 * (1 - i / STEPS))
        optimiser_g.lr = g_pace * optimiser_d.lr
        x_real = mg.Tensor(data_ring.sample(batch, rng), dtype="float32")
        loss_d = loss_of_d(d, x_real, g(noise(batch, rng)))
        penalty = gamma / 2 * r1_penalty(d, x_real) if gamma else 0.0  # J_D is -V/2
        minimise(loss_d + penalty, optimiser_d, d)
        for _ in range(g_steps):
            loss_g = generator_loss(d(g(noise(batch, rng))))
            minimise(loss_g, optimiser_g, g)
        if i + 1 in SHOTS:
            with mg.no_grad():
                strip.append(g(noise(1000, np.random.default_rng(1))).numpy())
        return {"D": loss_d, "G": loss_g}

    train(step, STEPS, label="8-ring")
    return strip


WAYS = {"G ahead": (False, 5, 3, 0.0), "D sees a batch": (True, 5, 3, 0.0),
        "in turn": (False, 1, 1, 0.0), "in turn, R1": (False, 1, 1, 0.1)}
strips = {name: train_gan(*way) for name, way in WAYS.items()}
shares = {name: np.array([census(samples) for samples in strip]) for name, strip in strips.items()}
held = {name: (row >= 1 / 32).sum(axis=1) for name, row in shares.items()}
for name, row in shares.items():
    cells = [f"{m} of 8, {100 * near:2.0f}%" for m, near in zip(held[name], row.sum(axis=1))]
    lesson.say(f"{name:14}  " + "   ".join(cells) + f"   rarest {100 * row[-1].min():.1f}%")
lesson.say("""
    Each training differs from seed to seed, and most so the second. For seeds 0 to 5 the feature
    gave G more modes each time: 3.8 in the mean over the strip, without it 1.1. But all 8 of them
    in the end it had in two of the six: to see a collapse is not yet to be fast enough. One step
    each was enough in all six, with 79 to 95% of the samples at the modes; with R1, 88 to 94%.
""")
lesson.check("G ahead: modes held, mean over the strip", held["G ahead"].mean(), 1.1, "trained",
             2, why="6 runs: .8 to 1.8, sd .4")
lesson.check("cured: modes held at the end", held["in turn, R1"][-1], 8, "trained", 0.5,
             why="20 runs: 8 in each")
lesson.check("cured: share of samples within 3 s", shares["in turn, R1"][-1].sum(), 0.91,
             "trained", 0.19, why="20 runs: .80 to .97, sd .04")


def figure_of_ring():
    """The four trainings as rows, the time from left to right."""
    titles = ["G ahead", "G ahead,\nD sees a batch", "in turn", "in turn, R1"]
    fig, axes = plt.subplots(4, len(SHOTS), figsize=(11.5, 8), layout="constrained")
    for row, title, name in zip(axes, titles, WAYS):
        for k, (ax, samples) in enumerate(zip(row, strips[name])):
            ax.plot(*centers.T, "o", mfc="none", color=REAL, ms=11, mew=1)
            ax.plot(*samples.T, ".", color=FAKE, ms=2.5, alpha=0.5, mew=0)
            ax.set(xlim=(-8.7, 8.7), ylim=(-8.7, 8.7), xticks=[], yticks=[], aspect="equal")
            ax.text(0, 0, f"{held[name][k]} of 8\n{100 * shares[name][k].sum():.0f}%",
                    ha="center", va="center", color=THEORY, fontsize=9)
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(title, fontsize=10, fontweight="bold")
    for ax, shot in zip(axes[0], SHOTS):
        ax.set_title(f"step {shot}", fontsize=9, fontweight="normal", loc="center")
    fig.suptitle("Samples as G trains: modes held, and samples within 3 s of a mode", fontsize=11)
    lesson.figure(fig, "ring")


figure_of_ring()

# %%
lesson.step("""
    8. Batch norm in D: the points of a batch are judged together
    Claim. Behind batch norm dD(x_i)/dx_j ≠ 0, and a shift of all fakes is invisible to D.
      1. z_i = (x_i - m)/s with the batch's m and s. For a logit a_i = w z_i + b and i ≠ j
         da_i/dx_j = -w (1 + z_i z_j)/(n s)  (lesson 01): a point's score hangs on its neighbours.
      2. A batch of fakes alone: x_i = θ + G(z_i) has m shifted by θ too, and z_i does not change.
         So D's logits do not depend on θ, and G's gradient in θ is 0, wherever the real data are.
      3. The same holds for a scale s, of either sign of error. What D should judge first, it cannot
         see. Therefore no batch norm at D's input (Radford et al. 2016, section 3), none at all in
         a WGAN-GP critic (lesson 07), and real and fake in one batch only if that is meant.
""")
n = 8
linear = Discriminator(1, hidden=(), generator=rng)
with_norm = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), linear)
x = mg.randn(n, 1, 1, 1, requires_grad=True)
rows = [mg.grad(with_norm(x)[i, 0], x)[0].numpy().ravel() for i in range(n)]
w = linear.parameters()[0].item()
flat = x.numpy().ravel()
s = math.sqrt(flat.var() + 1e-5)  # batch norm's eps
normal = (flat - flat.mean()) / s
lesson.check("batch norm: da_i/dx_j, all of them", np.array(rows),
             w * (n * np.eye(n) - 1 - np.outer(normal, normal)) / (n * s), tolerance=1e-5)
shift = mg.zeros(1, requires_grad=True)
fakes = mg.randn(64, 1, 1, 1) + shift
unseen, = mg.grad(generator_loss(with_norm(fakes)), shift, retain_graph=True)
lesson.check("batch norm: G's gradient in a shift of all fakes", unseen, 0.0, tolerance=1e-6)
plain = linear(fakes.reshape(64, 1))
seen, = mg.grad(generator_loss(plain), shift)
lesson.check("without it: -w E_g[1 - D]", seen, -w * (1 - ops.sigmoid(plain).numpy()).mean(),
             tolerance=1e-6)

# %%
lesson.step("""
    9. Flipped labels are smoothed labels, in expectation only
    Claim. Calling each real point fake with probability 1 - a has the expected loss of the smooth
    target a, and a variance on top.
      1. Cross-entropy is linear in the target t:  l(t) = softplus(logit) - t logit.
      2. So E[l(t)] = l(E[t]) = l(a), for t = 1 with probability a, and 0 else.
      3. J_D has half the mean of l(t_i) over n real points, with independent t_i:
         Var J_D = a(1 - a)/(4 n²) Σ logit_i².
      4. The same for the slope in logit i, -t_i/(2n) + ...: its variance is a(1 - a)/(4n²).
    For n = 8 points there are 2⁸ ways to flip. We take all of them, with their probabilities.
""")
n, a = 8, 0.9
logits_real, logits_fake = leaf(rng.standard_normal((n, 1))), leaf(rng.standard_normal((n, 1)))
ways = np.array(list(itertools.product([0.0, 1.0], repeat=n)))
chance = np.prod(np.where(ways == 1, a, 1 - a), axis=1)
flipped, slopes = [], []
for labels in ways:
    loss = (0.5 * losses.bce_with_logits(logits_real, constant(labels.reshape(n, 1)))
            + 0.5 * losses.bce_with_logits(logits_fake, 0.0))
    slopes.append(mg.grad(loss, logits_real)[0].numpy().ravel())
    flipped.append(loss.item())
flipped, slopes = np.array(flipped), np.array(slopes)
smooth = discriminator_loss(logits_real, logits_fake, smoothing=a)
variance = a * (1 - a) / (4 * n * n) * (logits_real.numpy()**2).sum()
lesson.say(f"smoothed: {smooth.item():.4f}; flipped: {chance @ flipped:.4f} in the mean, "
           f"from {flipped.min():.4f} to {flipped.max():.4f}")
lesson.check("flips: expected loss = the loss of smooth labels", chance @ flipped, smooth)
lesson.check("flips: variance of the loss", chance @ (flipped - smooth.item())**2, variance)
lesson.check("flips: variance of each slope", chance @ (slopes - chance @ slopes)**2,
             a * (1 - a) / (4 * n * n))

# %%
lesson.step("""
    10. Why the optimum of the theory is not reached: five reasons, five numbers
    Theorem (lesson 04): if D and G are any functions at all, D is at its best for every G, and p_g
    descends V(D*, G), then p_g → p_r. Practice has none of the three.
      a. Finite samples. Let p_g = p_r, all done. D(x) = σ(w·x) in d dimensions, fitted to n + n
         points, still finds something: twice its gain in log-likelihood is χ² with d degrees of
         freedom (Wilks 1938), so V exceeds -2 ln 2 by d/(2n) in the mean. On new points it falls
         short by as much: it is not there. G follows it all the same.
      b. A finite D. A logistic D in x and x² compares means and variances. Let
         p_r = 1/2 N(-√.75, .5²) + 1/2 N(√.75, .5²), and p_g = N(0, 1): both agree. At D = 1/2 the
         slope of V is 0, V is concave in the weights, so it is the best D: V = -2 ln 2, and G is
         told that all is well. But JSD > 0.
      c. Disjoint supports. For U(0, 1) and U(θ, θ + 1) with θ > 1, JSD = ln 2, slope 0. D* is
         certain and minimax has nothing to say to G.
      d. Rotation. Both players descend, and the pair does not: |λ| = √(1 + h²/4) > 1.
      e. Non-convexity. V is convex in p_g, but not in G's parameters. Let p_r have modes at ±3, and
         G two modes at a and b, each of the right width. JSD itself, with D* exact, has a minimum
         with both of G's modes around 3: half of the data are missing, JSD = .2141, and every
         small step makes it worse.
""")


def fit_logistic(x, y, iterations=6):
    """Newton's method: the weights (runs, d) that best tell y = 1 from y = 0, x (runs, n, d)."""
    w = np.zeros((len(x), x.shape[2]))
    for _ in range(iterations):
        p = 1 / (1 + np.exp(-np.einsum("rnd,rd->rn", x, w)))
        slope = np.einsum("rnd,rn->rd", x, y - p)
        curvature = np.einsum("rnd,rn,rne->rde", x, p * (1 - p), x)
        w += np.linalg.solve(curvature, slope[..., None])[..., 0]
    return w


def values_of(w, x, y):
    """V of D = σ(w·x), for each run; half of the points are real."""
    signed = np.einsum("rnd,rd->rn", x, w) * np.where(y == 1, 1, -1)
    return -2 * np.logaddexp(0, -signed).mean(axis=1)


runs, n, dim = 400, 200, 2
y = np.repeat([1.0, 0.0], n)
x = rng.standard_normal((runs, 2 * n, dim))
w = fit_logistic(x, y)
imagined = values_of(w, x, y) + 2 * LN2
on_new = values_of(w, rng.standard_normal(x.shape), y) + 2 * LN2
lesson.check("a. finite samples: V imagined at p_g = p_r, d/(2n)", imagined.mean(), dim / (2 * n),
             "monte-carlo", n=runs, standard_error=imagined.std() / runs**0.5)
lesson.check("a. ... and on new points", on_new.mean(), -dim / (2 * n),
             "monte-carlo", n=runs, standard_error=on_new.std() / runs**0.5)

bumps = GaussianMixture([0.5, 0.5], [Gaussian(-0.75**0.5, 0.5), Gaussian(0.75**0.5, 0.5)])
difference = (bumps.pdf(line) - Gaussian(0, 1).pdf(line)) * width
lesson.check("b. finite D: slope of V at D = 1/2, in 1, x, x²",
             0.5 * np.stack([line**0, line, line**2]) @ difference, 0.0)
blind = js(bumps, Gaussian(0, 1)).value
lesson.check("b. ... and what it misses, JSD", blind, 0.0285, "quadrature", 5e-5)

far = [js(Uniform(0, 1), Uniform(theta, theta + 1)).value for theta in (1.5, 1.6)]
lesson.check("c. disjoint: JSD", far, LN2, "quadrature")
lesson.check("c. disjoint: its slope in θ", (far[1] - far[0]) / 0.1, 0.0, "quadrature")
lesson.check("d. rotation: the factor of a step, h = .2", abs(spectrum(together)),
             math.sqrt(1 + 0.01))


def bump(center):
    return (-0.5 * (constant(line) - center) ** 2).exp() * (1 / math.sqrt(2 * math.pi))


real_modes = GaussianMixture([0.5, 0.5], [Gaussian(-3, 1), Gaussian(3, 1)])
r_line = constant(real_modes.pdf(line))


def js_of(modes):
    """JSD, as a Tensor, for p_g = 1/2 N(a, 1) + 1/2 N(b, 1): modes = (a, b)."""
    g_line = 0.5 * bump(modes[0]) + 0.5 * bump(modes[1])
    m = 0.5 * (r_line + g_line)
    return 0.5 * width * (r_line * (r_line / m).log() + g_line * (g_line / m).log()).sum()


def descend(start, steps=400):
    """Gradient descent on the exact JSD. Returns the path, (steps + 1, 2)."""
    modes = leaf(start)
    optimiser = optim.SGD([modes], lr=4.0)
    path = [modes.numpy()]
    for _ in range(steps):
        modes.grad, = mg.grad(js_of(modes), modes)
        optimiser.step()
        path.append(modes.numpy())
    return np.array(path)


paths = [descend(start) for start in ([-0.5, 1.0], [1.0, 2.0], [-2.0, 0.5], [0.5, 4.5])]
trapped = leaf(paths[1][-1])
slope, = mg.grad(js_of(trapped), trapped, create_graph=True)
hessian = np.array([mg.grad(slope[i], trapped, retain_graph=True)[0].numpy() for i in range(2)])
lesson.say(f"from (1, 2) descent ends at {trapped.numpy().round(4)}, JSD "
           f"{js_of(trapped).item():.4f}, Hessian's eigenvalues {np.linalg.eigvalsh(hessian)}")
lesson.check("e. from (-.5, 1) descent finds both modes", paths[0][-1], [-3, 3], tolerance=1e-6)
lesson.check("e. from (1, 2) it is trapped: slope", slope, 0.0, tolerance=1e-9)
a, b = trapped.numpy()
at_the_trap = GaussianMixture([0.5, 0.5], [Gaussian(a, 1), Gaussian(b, 1)])
lesson.check("e. ... with both of its modes on one: JSD", js(real_modes, at_the_trap), 0.2141,
             "quadrature", 5e-5)
lesson.check("e. ... in a true minimum: Hessian's positive eigenvalues",
             (np.linalg.eigvalsh(hessian) > 1e-3).sum(), 2)

flat, leaving, stuck = far[1] - far[0], spectrum(together)[0], js_of(trapped).item()
lesson.say(f"""
    why the optimum is not reached                               the number
      a. finite samples: D finds what is not there, d/(2n)       V + 2 ln 2 = {imagined.mean():.4f}
      b. a finite D misses what is there, with V = -2 ln 2       JSD = {blind:.4f}
      c. disjoint supports leave nothing to go by                slope of JSD = {flat:.0f}
      d. rotation: the pair of players does not descend          |λ| = {abs(leaving):.4f}
      e. non-convexity: with the best D, and stuck               JSD = {stuck:.4f}
""")


def figure_of_traps():
    """The Gaussian that drops a mode and the one that covers both; descents of JSD."""
    fig, (ax, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained",
                                    width_ratios=[1.2, 1])
    ax.fill_between(line, two_modes.pdf(line), color=REAL, alpha=0.25)
    ax.plot(line, two_modes.pdf(line), color=REAL, label="$p_r$")
    ax.plot(line, dropped.pdf(line), color=FAKE, lw=1.8, label="least KL($p_g$||$p_r$) − 2 JSD")
    ax.plot(line, covered.pdf(line), color=THEORY, ls="--", label="most likelihood")
    ax.set(xlim=(-6, 6), ylim=(0, 1.1), xlabel="x", ylabel="density")
    ax.set_title("One Gaussian for two modes")
    ax.legend(loc="upper left")
    side = np.linspace(-5.5, 5.5, 56)
    levels = np.array([[js_of((a, b)).item() for a in side] for b in side])
    shade = right.contourf(side, side, levels, 24, cmap="Greys", alpha=0.6)
    fig.colorbar(shade, ax=right, label="JSD, nats")
    for path in paths:
        good = js_of(path[-1]).item() < 0.01
        color = LEARNED if good else FAKE
        right.plot(*path.T, color=color, lw=1.6)
        right.plot(*path[0], "o", color=color, ms=4)
        right.plot(*path[-1], "*" if good else "X", color=color, ms=11, mec="white", mew=0.6)
    right.set(aspect="equal", xlabel="a, G's first mode", ylabel="b, its second")
    right.set_title("JSD with the exact D*: two ways to end")
    lesson.figure(fig, "traps")


figure_of_traps()

# %%
lesson.step("""
    11. Exercises
      a. Give D of the Dirac-GAN a ten times longer step than G. Does the pair settle now?
      b. Which γ damps best? And is more better?
      c. Half of the fakes lie at -1, half at +1, the data are N(0, 1). What does the deviation of
         the batch tell D?
      d. A D with batch norm gets real and fake points in one batch. Is it cured of step 8?
      e. Somebody's G holds 8 of 8 modes of the ring, with 38% of its samples within 3 s of one.
         What has it learned?
    Answers
      a. No. I + [0 h_G/2; -h_D/2 0] has |λ| = √(1 + h_G h_D/4): still more than 1, for any steps.
      b. γ = 1: both eigenvalues are -1/2. Beyond, one of them goes to 0: at γ = 10 it is -.025. D
         is then held back so much that G hardly learns.
      c. Nothing: it is 1 for both. It sees spread, not modes, and makes collapse to *one* point
         expensive, no more. (Salimans et al. 2016 compare all pairs, for that reason.)
      d. Half: a shift of the fakes alone is now visible. But the score of a real point depends on
         the fakes beside it, and "D(x)" is no function of x, as all of the theory has it.
      e. The circle, and nothing else, it seems. An angle φ from a mode is 2R sin(φ/2) away from it.
         That is less than 3 s up to φ = 2 arcsin(3s/(2R)), on 8φ/π = 38.2% of the circle. A count
         of modes alone proves little.
""")
h_g, h_d = 0.1, 1.0
two_speeds = jacobian(lambda theta, psi: (theta + h_g * to_theta(theta, psi),
                                          psi + h_d * to_psi(theta, psi)))
lesson.check("exercise a: |λ| = √(1 + h_G h_D/4)", abs(spectrum(two_speeds)),
             math.sqrt(1 + h_g * h_d / 4))
strong = spectrum(jacobian(lambda *x: field(*x, gamma=10.0)))
lesson.check("exercise b: the slow eigenvalue at γ = 10", strong.real.max(),
             -5 + math.sqrt(25 - 0.25))
two_points = constant(np.repeat([-1.0, 1.0], 32).reshape(64, 1))
lesson.check("exercise c: the deviation of two points at ±1", feature(two_points)[0, 1], 1.0)
angles = 2 * math.pi * np.arange(100_000) / 100_000
circle = census(RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1))
lesson.check("exercise e: a circle's share within 3 s", circle.sum(),
             16 / math.pi * math.asin(3 * WIDTH / (2 * RADIUS)), tolerance=2e-4)  # 16 ends of arcs
lesson.check("exercise e: modes that it holds", (circle >= 1 / 32).sum(), 8)

lesson.finish()
