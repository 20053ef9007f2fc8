"""04. What a discriminator learns: the optimum of the GAN game

The question. A GAN's discriminator D is trained to tell real points from generated ones. What does
the best possible D say about a point, what is the game worth then, and does a trained D get there?

You will derive  D* = p_r/(p_r + p_g),  V(D*, G) = 2 JSD(p_r, p_g) - 2 ln 2,  and  JSD <= ln 2,
check each number by quadrature, and train two discriminators until they reach it.

You need: densities and expectations (lesson 00), gradients (lesson 01).
Paper: Goodfellow et al., Generative Adversarial Nets, 2014, sections 3 and 4.

Notation: p_r is the density of real data, p_g that of the generator's samples. All logarithms are
natural, so information is in nats (1 bit = ln 2 nats).

Your own data:  python lessons/04_gan_optimum.py --real FILE --fake FILE  trains D on two files of
numbers (text, CSV or .npy) and estimates from it how far apart they are.
"""

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
from lesson import FAKE, LEARNED, REAL, THEORY, Lesson

import minigen as mg
from minigen import ops, optim
from minigen.data.points import PointsError, load_points
from minigen.densities import Density, Gaussian, GaussianMixture, Uniform
from minigen.divergences import js, total_variation
from minigen.models.gan import Discriminator, discriminator_loss, optimal_discriminator, value
from minigen.models.two_sample import JsEstimate, estimate_js
from minigen.quadrature import integrate
from minigen.training import minimise, train

LN2 = math.log(2)

lesson = Lesson("04_gan_optimum", __doc__, arguments=[
    ("--real", {"metavar": "FILE", "help": "your own real numbers: text, CSV or .npy"}),
    ("--fake", {"metavar": "FILE", "help": "your own generated numbers, to compare with them"}),
])


# %% Your own two samples (nothing here happens without --real and --fake)
def compare_files(real_file: str, fake_file: str) -> None:
    """Train D on two files of numbers, and report what it found."""
    real, fake = load_points(real_file), load_points(fake_file)
    lesson.say(f"real: {len(real):,} numbers from {real_file}\n"
               f"fake: {len(fake):,} numbers from {fake_file}")
    found = estimate_js(real, fake, lesson.rng)
    at = np.quantile(np.concatenate([real, fake]), [0.05, 0.25, 0.5, 0.75, 0.95])
    lesson.say("estimated D at five quantiles of both samples together")
    for x, d in zip(at, found.d(at)):
        lesson.say(f"  x = {x:10.4g}   D = {d:.3f}")
    lesson.say(f"""
        JSD >= {found.js:.4f} nats = {found.js / LN2:.4f} bits (at most ln 2 = {LN2:.4f} nats)
        95% bootstrap interval: {found.low:.4f} to {found.high:.4f} nats
        D is scored only on points that it was not trained on. A better D could only raise the
        true value, so this is a lower bound in expectation; around 0 D found no difference.
    """)
    figure_of_files(real, fake, found)


def figure_of_files(real: np.ndarray, fake: np.ndarray, found: JsEstimate) -> None:
    """The two histograms above the estimated D."""
    both = np.concatenate([real, fake])
    bins = np.histogram_bin_edges(both, bins="auto")[:200]
    bins = bins if len(bins) < 200 else np.linspace(both.min(), both.max(), 100)
    grid = np.linspace(both.min(), both.max(), 500)
    fig, (top, bottom) = plt.subplots(2, 1, figsize=(7, 6), sharex=True, layout="constrained")
    top.hist(real, bins, density=True, color=REAL, alpha=0.55, label=f"real, n = {len(real):,}")
    top.hist(fake, bins, density=True, color=FAKE, alpha=0.55, label=f"fake, n = {len(fake):,}")
    top.set_title("Two samples")
    top.set_ylabel("density")
    top.legend()
    bottom.axhline(0.5, color=THEORY, lw=0.8, ls=":")
    bottom.plot(grid, found.d(grid), color=LEARNED)
    bottom.set(ylim=(0, 1), xlabel="x", ylabel="D(x)")
    bottom.set_title(f"D, estimated: JSD ≥ {found.js:.3f} nats [{found.low:.3f}, {found.high:.3f}]")
    print(f"figure: {lesson.figure(fig, 'files')}")


if lesson.args.real or lesson.args.fake:
    if not (lesson.args.real and lesson.args.fake):
        lesson.refuse("--real and --fake go together: name a file for each")
    try:
        compare_files(lesson.args.real, lesson.args.fake)
    except PointsError as error:
        lesson.refuse(error)
    raise SystemExit(0)


# %%
lesson.step("""
    1. The game is a question of classification
    Claim. D's part of the game is ordinary cross-entropy: J_D = -V/2.
      1. D sees one point x at a time, half of them from p_r (target 1), half from p_g (target 0).
      2. The mean cross-entropy is  J_D = 1/2 E_r[-ln D(x)] + 1/2 E_g[-ln(1 - D(x))].
      3. The value of the game is   V(D, G) = E_r[ln D(x)] + E_g[ln(1 - D(x))],  so J_D = -V/2.
      4. A D that always says 1/2 has V = 2 ln(1/2) = -2 ln 2, and J_D = ln 2.
""")
no_idea = mg.zeros(5, 1)  # five logits; sigmoid(0) = 1/2
lesson.check("V of D = 1/2", value(no_idea, no_idea), -2 * LN2, tolerance=1e-6)
lesson.check("J_D of D = 1/2", discriminator_loss(no_idea, no_idea), LN2, tolerance=1e-6)
logits_real = mg.randn(1000, 1, dtype="float64")
logits_fake = mg.randn(1000, 1, dtype="float64")
lesson.check("J_D = -V/2 for any D", discriminator_loss(logits_real, logits_fake),
             -0.5 * value(logits_real, logits_fake))

# %%
lesson.step("""
    2. The best D, point by point
    Claim. At each x, V is largest for D*(x) = p_r(x)/(p_r(x) + p_g(x)).
      1. V = ∫ [p_r ln D + p_g ln(1 - D)] dx, and D(x) may be chosen freely at every x. So the
         integrand  f(D) = p_r ln D + p_g ln(1 - D)  can be maximised alone, p_r and p_g fixed.
      2. f'(D) = p_r/D - p_g/(1 - D) = 0   ⇔   p_r (1 - D) = p_g D   ⇔   D* = p_r/(p_r + p_g).
      3. f''(D) = -p_r/D² - p_g/(1 - D)² < 0 everywhere: the one stationary point is the maximum.
         At D* it is -(p_r + p_g)³/(p_r p_g).
      4. Another base multiplies f by a constant and moves nothing, if *both* logarithms change.
         With ln D and log2(1 - D), the optimum at p_r = p_g would be ln 2/(ln 2 + 1) = .409.
""")


def pointwise(d: mg.Tensor, p_r: mg.Tensor, p_g: mg.Tensor) -> mg.Tensor:
    """f(D) = p_r ln D + p_g ln(1 - D)."""
    return p_r * ops.log(d) + p_g * ops.log(1.0 - d)


p_r = mg.Tensor(np.array([0.9, 0.5, 0.2, 1e-3]))
p_g = mg.Tensor(np.array([0.1, 0.5, 0.6, 2e-3]))
d_star = mg.Tensor(optimal_discriminator(p_r.data, p_g.data), requires_grad=True)
slope, = mg.grad(pointwise(d_star, p_r, p_g).sum(), d_star, create_graph=True)
curvature, = mg.grad(slope.sum(), d_star)
lesson.check("f'(D*) = 0", slope, 0.0)
lesson.check("f''(D*) = -(p_r + p_g)³/(p_r p_g)", curvature,
             -((p_r + p_g) ** 3 / (p_r * p_g)).numpy())
grid = np.linspace(0.0005, 0.9995, 1999)  # steps of .0005: an argmax is exact to half of that
f_grid = pointwise(mg.Tensor(grid[:, None]), p_r, p_g).numpy()
lesson.check("argmax of f on a grid = D*", grid[f_grid.argmax(axis=0)], d_star, tolerance=2.6e-4)
mixed = np.log(grid) + np.log2(1 - grid)
lesson.check("two bases in one f: another optimum", grid[mixed.argmax()], LN2 / (LN2 + 1),
             tolerance=2.6e-4)

# %%
lesson.step("""
    3. Two Gaussians: the best D is a logistic regression
    Claim. For p_r = N(1, 1) and p_g = N(-1, 1),  D*(x) = σ(2x).
      1. D* = p_r/(p_r + p_g) = 1/(1 + p_g/p_r) = σ(ln p_r - ln p_g): its logit is the log-ratio.
      2. ln p_r - ln p_g = -(x - 1)²/2 + (x + 1)²/2 = 2x.
      3. Calling a point real when D* > 1/2, that is when x > 0, errs with probability
         1/2 P_r(x < 0) + 1/2 P_g(x > 0) = Φ(-1) = .158655: the Bayes error, (1 - TV)/2.
    D never sees a pair of points. It judges each alone, and errs on one in six even at its best.
""")
real = Gaussian(1.0, 1.0)
fake = Gaussian(-1.0, 1.0)
x = np.linspace(-6, 6, 241)
d_star_x = optimal_discriminator(real.pdf(x), fake.pdf(x))
lesson.check("logit D*(x) = 2x on [-6, 6]", np.log(d_star_x / (1 - d_star_x)), 2 * x)
bayes_error = 0.5 * (1 - total_variation(real, fake).value)
lesson.check("Bayes error = Φ(-1)", bayes_error, Gaussian(0, 1).cdf(-1.0), "quadrature")

# %%
lesson.step("""
    4. What the game is worth: V(D*, G) = 2 JSD - 2 ln 2
      1. With m = (p_r + p_g)/2,  D* = p_r/(2m)  and  1 - D* = p_g/(2m).
      2. V(D*, G) = E_r[ln p_r/(2m)] + E_g[ln p_g/(2m)]
                  = KL(p_r||m) + KL(p_g||m) - 2 ln 2 = 2 JSD(p_r, p_g) - 2 ln 2.
      3. JSD >= 0, and 0 only for p_g = p_r. So the generator's best is V = -2 ln 2 at p_g = p_r,
         where D* = 1/2 everywhere: D is not "very sensitive" at the end, it has nothing to say.
    For N(±1, 1):  JSD = .336831 nats = .485944 bits,  V = -.712633.
""")


def value_at_optimum(p_r: Density, p_g: Density) -> float:
    """V(D*, G), straight from its definition."""
    low = min(p_r.support()[0], p_g.support()[0])
    high = max(p_r.support()[1], p_g.support()[1])

    def integrand(x: np.ndarray) -> np.ndarray:
        r, g = p_r.pdf(x), p_g.pdf(x)
        d = np.clip(optimal_discriminator(r, g), 1e-300, 1 - 1e-16)  # 0 ln 0 = 0, its limit
        return r * np.log(d) + g * np.log1p(-d)

    return integrate(integrand, low, high, np.concatenate([p_r.breakpoints(), p_g.breakpoints()]))


lesson.check("JSD of N(±1, 1), nats", js(real, fake).value, 0.336831, "quadrature", 5e-7)
lesson.check("JSD of N(±1, 1), bits", js(real, fake, "bits").value, 0.485944, "quadrature", 5e-7)
lesson.check("V(D*, G) of N(±1, 1)", value_at_optimum(real, fake).value, -0.712633, "quadrature",
             5e-7)
lesson.check("V(D*, G) = 2 JSD - 2 ln 2", value_at_optimum(real, fake),
             2 * js(real, fake).value - 2 * LN2, "quadrature")
shifts = np.linspace(-2, 2, 9)
values = np.array([value_at_optimum(real, Gaussian(1.0 + s, 1.0)).value for s in shifts])
lesson.check("V(D*, G) at p_g = p_r", values[4], -2 * LN2, "quadrature")
lesson.check("the shift of p_g that minimises V", shifts[values.argmin()], 0.0, "quadrature")

# %%
lesson.step("""
    5. JSD is an information, and so at most ln 2
    Claim. Toss a fair coin Y, draw X from p_r if Y = 1 and from p_g if Y = 0. Then JSD = I(X; Y).
      1. X alone has density m, and X given Y has p_r or p_g. By definition
         I(X; Y) = Σ_y 1/2 ∫ p(x|y) ln[p(x|y)/m(x)] dx = 1/2 KL(p_r||m) + 1/2 KL(p_g||m) = JSD.
      2. Also  I(X; Y) = H(Y) - H(Y|X),  and P(Y = 1|x) = p_r/(p_r + p_g) = D*(x). So
         JSD = ln 2 - E_m[h(D*(x))]  with  h(D) = -D ln D - (1 - D) ln(1 - D) >= 0.
      3. Hence JSD <= H(Y) = ln 2 nats, 1 bit: a point cannot tell more than the coin's outcome.
         "JSD lies in [0, 1]" is true in bits only.
    JSD reaches ln 2 as soon as the densities do not overlap, and then stops growing: from there on
    the game's value no longer says how far apart they are (lesson 06 repairs that).
""")


def information_left(x: np.ndarray) -> np.ndarray:
    """m(x) h(D*(x)): what is still unknown about the coin at x."""
    r, g = real.pdf(x), fake.pdf(x)
    d = np.clip(optimal_discriminator(r, g), 1e-300, 1 - 1e-16)
    return (r + g) / 2 * -(d * np.log(d) + (1 - d) * np.log1p(-d))


left = integrate(information_left, -10, 10, [-1, 0, 1])
lesson.check("ln 2 - E_m[h(D*)] = JSD", LN2 - left.value, js(real, fake).value, "quadrature")
separations = np.linspace(0, 8, 33)
js_by_separation = np.array([js(Gaussian(0, 1), Gaussian(s, 1)).value for s in separations])
lesson.check("largest excess of JSD over ln 2", max(0.0, (js_by_separation - LN2).max()), 0.0,
             "quadrature")
lesson.check("JSD of densities that do not overlap", js(Uniform(0, 1), Uniform(5, 6)), LN2,
             "quadrature")

# %%
lesson.step("""
    6. JSD is no distance, but its root is
    Claim. JSD breaks the triangle inequality. Take P = U(0, 1), R = U(1, 2) and Q = U(0, 2).
      1. P and R do not overlap: JSD(P, R) = ln 2 = .6931.
      2. m = (P + Q)/2 is 3/4 on (0, 1) and 1/4 on (1, 2):
         JSD(P, Q) = 1/2 ln(4/3) + 1/2 [1/2 ln(2/3) + 1/2 ln 2] = .2158 = JSD(Q, R).
      3. Going by way of Q is shorter: .2158 + .2158 = .4315 < .6931.
      4. sqrt(JSD) is a metric (Endres and Schindelin 2003): .8326 <= .4645 + .4645 = .9290.
""")
P, Q, R = Uniform(0, 1), Uniform(0, 2), Uniform(1, 2)
direct, first, second = js(P, R).value, js(P, Q).value, js(Q, R).value
lesson.check("JSD(P, R)", direct, LN2, "quadrature")
lesson.check("JSD(P, Q) + JSD(Q, R), which is less", first + second,
             math.log(4 / 3) + 0.5 * math.log(2 / 3) + 0.5 * LN2, "quadrature")
lesson.check("... and in numbers", first + second, 0.4315, "quadrature", 5e-5)
detour = math.sqrt(first) + math.sqrt(second) - math.sqrt(direct)
lesson.check("the root's detour, which is positive", detour, 0.0964, "quadrature", 5e-5)

# %%
lesson.step("""
    7. Other proportions, softer labels
    Claim. With a share π of real points and the target a for them,
           D* = a π p_r / (π p_r + (1 - π) p_g).
      1. J_D = -π E_r[a ln D + (1 - a) ln(1 - D)] - (1 - π) E_g[ln(1 - D)].
      2. At a point:  f(D) = A ln D + B ln(1 - D)  with  A = a π p_r  and  B = (1 - a) π p_r +
         (1 - π) p_g.  As in step 2, D* = A/(A + B), and A + B = π p_r + (1 - π) p_g.
      3. Where only real data lie D* = a: D may not be surer than that. Where p_r = 0 it stays 0.
    Flipping a share 1 - a of the real labels at random gives the same J_D in expectation only.
""")
prior, smoothing = 0.3, 0.9
at = mg.Tensor(np.linspace(-3, 3, 7))
density_r, density_g = real.pdf(at.numpy()), fake.pdf(at.numpy())
d_soft = optimal_discriminator(density_r, density_g, prior, smoothing)
logit = mg.Tensor(np.log(d_soft / (1 - d_soft)).reshape(-1, 1), requires_grad=True)
for i in range(len(density_r)):  # one point at a time: each has its own D, and its own weights
    share = prior * density_r[i] / (prior * density_r[i] + (1 - prior) * density_g[i])
    loss = discriminator_loss(logit[i:i + 1], logit[i:i + 1], share, smoothing)
    loss.backward()
lesson.check("slope of J_D at D*, π = .3, a = .9", logit.grad, 0.0)
lesson.check("D* far on the real side = a",
             optimal_discriminator(real.pdf(30.0), fake.pdf(30.0), prior, smoothing), smoothing)

# %%
lesson.step("""
    8. Train it: a logistic D on samples of N(±1, 1)
    Claim. The logistic D(x) = σ(w x + b) that minimises J_D on n + n samples has w ≈ 2, b ≈ 0.
      1. D* = σ(2x) is in the family, so as n → ∞ the minimiser is w = 2, b = 0.
      2. For finite n it is off by a random amount; maximum likelihood says by how much: the
         covariance of (b, w) is the inverse of the Fisher information Σ D (1 - D) [1 x; x x²].
      3. J_D is convex in (w, b), so that descent finds the minimiser, and stays there.
""")


def train_logistic(x_real: mg.Tensor, x_fake: mg.Tensor, steps: int = 300) -> Discriminator:
    """Minimise J_D over w and b, on all the points at once."""
    d = Discriminator(1, hidden=(), generator=lesson.rng)
    optimiser = optim.Adam(d.parameters())

    def step(i: int) -> dict[str, mg.Tensor]:
        optimiser.lr = 0.1 * (1 - i / steps)
        loss = discriminator_loss(d(x_real), d(x_fake))
        minimise(loss, optimiser, d)
        return {"J_D": loss}

    train(step, steps, label="logistic D")
    return d


n = 100_000 if lesson.full else 20_000
x_real = mg.Tensor(real.sample(n, lesson.rng).reshape(-1, 1), dtype="float32")
x_fake = mg.Tensor(fake.sample(n, lesson.rng).reshape(-1, 1), dtype="float32")
logistic = train_logistic(x_real, x_fake)
b, w = (parameter.item() for parameter in reversed(logistic.parameters()))
points = np.concatenate([x_real.numpy(), x_fake.numpy()]).ravel().astype(np.float64)
d = 1 / (1 + np.exp(-(w * points + b)))
design = np.stack([np.ones_like(points), points])
covariance = np.linalg.inv(design * (d * (1 - d)) @ design.T)
lesson.check("trained logistic D: slope w", w, 2.0, "monte-carlo", n=2 * n,
             standard_error=math.sqrt(covariance[1, 1]))
lesson.check("trained logistic D: offset b", b, 0.0, "monte-carlo", n=2 * n,
             standard_error=math.sqrt(covariance[0, 0]))

fresh_r = np.log1p(np.exp(-(w * real.sample(n, lesson.rng) + b)))  # -ln D
fresh_f = np.log1p(np.exp(w * fake.sample(n, lesson.rng) + b))  # -ln(1 - D)
lesson.check("V of the trained D on new points", -fresh_r.mean() - fresh_f.mean(),
             2 * js(real, fake).value - 2 * LN2, "monte-carlo", n=2 * n,
             standard_error=math.sqrt((fresh_r.var() + fresh_f.var()) / n))

# %%
lesson.step("""
    9. Train it again: an MLP D where no straight line will do
    p_r has two modes and p_g one, so that the logit of D* bends. D is 1 → 64 → 64 → 1.
      1. What D lacks, V lacks:  V(D*, G) - V(D, G) = 2 E_m[KL(Bernoulli(D*) || Bernoulli(D))],
         by writing ln D = ln D* + ln(D/D*) in V. So V climbs towards its optimum from below.
      2. We measure how far D is from D* where the data are: E_m|D - D*|.
    The same D is trained from several seeds; the spread of the result is what training leaves over.
""")
two_modes = GaussianMixture([0.4, 0.6], [Gaussian(-1.6, 0.5), Gaussian(1.8, 0.7)])
one_mode = Gaussian(0.3, 1.4)
line = np.linspace(-6, 7, 1301)
width = line[1] - line[0]  # on a fine grid, a plain sum is an excellent integral of smooth bumps
r, g = two_modes.pdf(line), one_mode.pdf(line)
m = (r + g) / 2
d_line = optimal_discriminator(r, g)
optimum = 2 * js(two_modes, one_mode).value - 2 * LN2


def train_mlp(seed: int, steps: int, batch: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Train an MLP D on fresh samples. Returns its logits on `line`, and V at each step."""
    rng = np.random.default_rng([lesson.seed, seed])
    d = Discriminator(1, hidden=(64, 64), generator=rng)
    optimiser = optim.Adam(d.parameters())

    def step(i: int) -> dict[str, mg.Tensor]:
        optimiser.lr = 0.01 * (1 - i / steps)
        x_real = mg.Tensor(two_modes.sample(batch, rng).reshape(-1, 1), dtype="float32")
        x_fake = mg.Tensor(one_mode.sample(batch, rng).reshape(-1, 1), dtype="float32")
        loss = discriminator_loss(d(x_real), d(x_fake))
        minimise(loss, optimiser, d)
        return {"J_D": loss}

    history = train(step, steps, label=f"MLP D, seed {seed}")
    with mg.no_grad():
        logits = d(mg.Tensor(line.reshape(-1, 1), dtype="float32")).numpy().ravel()
    return logits.astype(np.float64), -2 * history.losses["J_D"]


seeds, steps = (20, 6000) if lesson.full else (5, 2000)
runs = [train_mlp(seed, steps) for seed in range(seeds)]
learned = np.stack([1 / (1 + np.exp(-logits)) for logits, _ in runs])
distances = (np.abs(learned - d_line) * m).sum(axis=1) * width
reached = np.array([width * (-r * np.log1p(np.exp(-a)) - g * np.log1p(np.exp(a))).sum()
                    for a, _ in runs])
gap = 2 * width * (m * (d_line * np.log(d_line / learned)
                        + (1 - d_line) * np.log((1 - d_line) / (1 - learned)))).sum(axis=1)
on_grid = width * (r * np.log(d_line) + g * np.log1p(-d_line)).sum()
lesson.check("E_m|D - D*| of the worst MLP", distances.max(), 0.0, "trained", 0.0097,
             why="125 runs: .0055, sd .0008; + 5 sd")
lesson.check("V of the worst MLP", reached.min(), optimum, "trained", 0.0008,
             why="125 runs: .00036 below, sd .00008; + 5 sd")
lesson.check("V(D*) - V(D) = 2 E_m[KL(D*||D)]", on_grid - reached, gap)
lesson.check("the grid's V(D*) = 2 JSD - 2 ln 2", on_grid, optimum, "quadrature", 1e-6)

# %%
curves = np.array([values for _, values in runs])


def figure_of_optimum() -> None:
    """f(D) at three points; densities; D* and the learned D; V along training."""
    fig, axes = plt.subplots(2, 2, figsize=(11, 7.5), layout="constrained")
    draw_pointwise(axes[0, 0])
    draw_densities(axes[0, 1])
    draw_learned(axes[1, 1])
    draw_value(axes[1, 0])
    lesson.figure(fig)


def draw_pointwise(ax: plt.Axes) -> None:
    d = np.linspace(0.002, 0.998, 500)
    for (a, b), color in zip([(0.8, 0.2), (0.5, 0.5), (0.2, 0.6)], [REAL, THEORY, FAKE]):
        f = a * np.log(d) + b * np.log(1 - d)
        best = optimal_discriminator(a, b)
        ax.plot(d, f, color=color, label=f"$p_r$ = {a}, $p_g$ = {b}:  $D^*$ = {best:.2f}")
        ax.plot(best, a * np.log(best) + b * np.log(1 - best), "o", color=color)
    ax.set(ylim=(-2.2, 0), xlabel="D", ylabel="f(D)")
    ax.set_title("At each point, f(D) has one maximum")
    ax.legend(loc="lower center")


def draw_densities(ax: plt.Axes) -> None:
    for density, color, name in ((r, REAL, "$p_r$, real"), (g, FAKE, "$p_g$, generated")):
        ax.fill_between(line, density, color=color, alpha=0.25)
        ax.plot(line, density, color=color, label=name)
    ax.set(xlim=(-5, 5.5), ylim=(0, 0.44), xlabel="x", ylabel="density")
    ax.set_title("Two densities that overlap")
    ax.legend(loc="upper left", ncols=2)


def draw_learned(ax: plt.Axes) -> None:
    ax.axhline(0.5, color=THEORY, lw=0.8, ls=":")
    ax.fill_between(line, learned.min(axis=0), learned.max(axis=0), color=LEARNED, alpha=0.3,
                    label=f"learned D, range of {seeds} seeds")
    ax.plot(line, learned.mean(axis=0), color=LEARNED, lw=1.2, label="learned D, mean")
    ax.plot(line, d_line, color=THEORY, ls="--", lw=1.4, label="$D^* = p_r/(p_r + p_g)$")
    ax.set(xlim=(-5, 5.5), ylim=(0, 1), xlabel="x", ylabel="D(x)")
    ax.set_title("The trained D finds the optimal D where the data are")
    ax.legend(loc="upper left")


def draw_value(ax: plt.Axes) -> None:
    edges = np.unique(np.geomspace(1, steps + 1, 40).astype(int)) - 1  # short bins first
    starts, counts = edges[:-1], np.diff(edges)
    for i, c in enumerate(np.add.reduceat(curves[:, :edges[-1]], starts, axis=1) / counts):
        ax.plot(starts + 1 + counts / 2, c, color=LEARNED, lw=1, alpha=0.6,
                label=f"V of D as it trains, {seeds} seeds" if i == 0 else None)
    ax.axhline(optimum, color=THEORY, ls="--", lw=1.4, label=f"2 JSD − 2 ln 2 = {optimum:.3f}")
    ax.axhline(-2 * LN2, color=THEORY, ls=":", lw=1, label="−2 ln 2: D = 1/2, knows nothing")
    ax.set(xscale="log", xlabel="step", ylabel="V(D, G), nats")
    ax.set_title("V climbs from nothing to its optimum")
    ax.legend(loc=(0.38, 0.15))


figure_of_optimum()

# %%
lesson.step("""
    10. Exercises
      a. With targets a for real and c > 0 for fake points (smoothing on both sides), what is D*
         where p_r = 0? Why does that spoil the generator's gradient?
      b. What is V(D*, G) if p_g puts half of its mass where p_r has none, and the other half is
         exactly p_r?
      c. Double every real point (π = 2/3). Where does D* = 1/2 move for N(±1, 1)?
    Answers
      a. D* = (a p_r + c p_g)/(p_r + p_g) = c > 0, where only fakes lie: D calls them partly real,
         and the generator is told to stay. So smooth one side only (Salimans et al. 2016).
      b. m = 3/4 p_r there and p_g/2 elsewhere: the pair P, Q of step 6, JSD = .2158, and
         V = 2 (.2158) - 2 ln 2 = -.9548.
      c. D* = σ(2x + ln(π/(1 - π))) = σ(2x + ln 2): to x = -ln(2)/2 = -.3466.
""")
lesson.check("exercise b: V", value_at_optimum(P, Q), 2 * js(P, Q).value - 2 * LN2, "quadrature")
lesson.check("exercise b, in numbers", value_at_optimum(P, Q).value, -0.9548, "quadrature", 5e-5)
lesson.check("exercise c: D*(-ln(2)/2) with π = 2/3",
             optimal_discriminator(real.pdf(-LN2 / 2), fake.pdf(-LN2 / 2), prior=2 / 3), 0.5)

lesson.finish()
