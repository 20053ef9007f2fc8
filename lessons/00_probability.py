"""00. Probability: what a generative model is, in small numbers

The question. A generative model is a probability distribution over pictures (or sounds, or texts)
that we can draw from. What is that, exactly? How does a computer learn one from examples, and what
can we ask it afterwards?

You will derive, always on a toy that fits on a line or in a table of eight numbers: the chain rule
and Bayes' rule; why a density is no probability, and how it changes when x does; where the
classifier σ(wx + b) comes from; entropy and the Kullback-Leibler divergence; the loss that trains
almost every classifier, and its gradient; that maximum likelihood makes a divergence small, and
which one; why the most probable picture looks like no picture; and two ways to own a distribution.

You need: derivatives, integrals and e^x. This is the first lesson; nothing comes before it. How
minigen finds gradients is the subject of lesson 01: until then, believe that it does.
Books: Bishop, Pattern Recognition and Machine Learning, 2006, chapter 1; MacKay, Information
Theory, Inference, and Learning Algorithms, 2003, chapters 2 to 4.

How to read a lesson. Open it in an editor, beside a terminal that runs it. It prints its steps, and
leaves figures in lessons/out/. Each step makes a claim, derives it in numbered lines, and says the
same in code. Then `lesson.check` compares a number that the code computed with one that was known
before; all checks stand in a table at the end. Change a line, and see which of them turns red.

Notation: P(...) is a probability; p(x) a table of them, or a density. A capital X is the random
thing, x one of its values. N(m, s²) is the bell curve of mean m and standard deviation s. E_p[f] is
the mean of f(x) over draws x from p. ln is the natural logarithm; information is in nats (1 bit =
ln 2 nats).
"""

# %%
import math
from itertools import permutations

import images
import matplotlib.pyplot as plt
import numpy as np
from lesson import FAKE, LEARNED, REAL, THEORY, Lesson

import minigen as mg
from minigen import losses, nn, ops, optim
from minigen.densities import Gaussian, Gaussian2d, GaussianMixture, Uniform
from minigen.divergences import cross_entropy, entropy, kl, wasserstein1, wasserstein1_samples
from minigen.quadrature import integrate
from minigen.training import minimise, train

LN2 = math.log(2)

lesson = Lesson("00_probability", __doc__, arguments=[images.DATA])
rng = lesson.rng


def constant(numbers):
    """A float64 Tensor that stays as it is."""
    return mg.Tensor(numbers, dtype="float64")


def learnable(numbers):
    """A float64 Tensor that training may change."""
    return mg.Tensor(numbers, requires_grad=True, dtype="float64")


# %% Step 1: a table of pictures
lesson.step("""
    1. A distribution over pictures is a table, and we can draw from it
    The smallest pictures have three pixels x₁ x₂ x₃, each white (0) or black (1). There are 8 of
    them. A distribution says how often each one comes: 8 numbers p(x₁, x₂, x₃), of sum 1.
      1. Marginal: sum over what you do not ask for.  p(x₁) = Σ p(x₁, x₂, x₃) over all x₂ and x₃.
      2. Conditional: of the pictures with this x₁, which share has this x₂?
         p(x₂|x₁) = p(x₁, x₂)/p(x₁).  Its sum over x₂ is 1.
      3. Chain rule: p(x₁, x₂, x₃) = p(x₁) p(x₂|x₁) p(x₃|x₁, x₂), since on the right stands
         p(x₁) · p(x₁, x₂)/p(x₁) · p(x₁, x₂, x₃)/p(x₁, x₂), and all but the last numerator cancels.
      4. So a picture can be drawn pixel by pixel, each given those before it, in any order. That is
         an autoregressive model, and the first generative model of this course.
    A table for 28×28 black-and-white pixels would have 2^784 rows, a number of 237 digits. So the
    models to come are formulas with learned numbers in them. But each stands for such a table.
""")
table = np.array([.25, .10, .05, .15, .10, .05, .10, .20]).reshape(2, 2, 2)  # p[x1, x2, x3]


def conditionals(p):
    """p(x1), p(x2|x1) and p(x3|x1, x2), each an array with an axis for every pixel it names."""
    p1, p12 = p.sum(axis=(1, 2)), p.sum(axis=2)
    return p1, p12 / p1[:, None], p / p12[:, :, None]


def chain(p):
    """p(x1) p(x2|x1) p(x3|x1, x2)."""
    first, second, third = conditionals(p)
    return first[:, None, None] * second[:, :, None] * third


def draw_pictures(p, n):
    """n pictures (n, 3), pixel by pixel, each black with its probability given those before it."""
    first, second, third = conditionals(p)
    u = rng.random((3, n))
    x1 = (u[0] < first[1]).astype(int)
    x2 = (u[1] < second[x1, 1]).astype(int)
    x3 = (u[2] < third[x1, x2, 1]).astype(int)
    return np.stack([x1, x2, x3], axis=1)


first, second, third = conditionals(table)
lesson.check("p(x₁=1), p(x₂=1|1), p(x₃=1|1,1) by hand",
             [first[1], second[1, 1], third[1, 1, 1]], [.45, 2 / 3, 2 / 3])
turned = [table.transpose(order) for order in permutations(range(3))]
lesson.check("chain rule, the pixels in all 6 orders", [chain(p) for p in turned], turned)
n = 100_000
pictures = draw_pictures(table, n)
number = pictures @ [4, 2, 1]  # a picture's place in the table: its pixels as a binary number
lesson.check("how often each picture is drawn", np.bincount(number, minlength=8) / n,
             table.ravel(), "monte-carlo", n=n,
             standard_error=math.sqrt((table * (1 - table)).max() / n))

# %% Step 2: Bayes
lesson.step("""
    2. Bayes' rule turns a conditional round
    Claim. p(y|x) = p(x|y) p(y)/p(x)  with  p(x) = Σ p(x|y) p(y) over all y.
      1. Two ways to write one number:  p(x, y) = p(y) p(x|y) = p(x) p(y|x).  Divide by p(x).
      2. The parts have names: posterior = likelihood × prior / evidence. It is the evidence that
         makes the posterior sum to 1.
      3. An illness that 1 in 100 has. A test finds it in 99% of the ill, and wrongly in 5% of the
         healthy. Your test is positive. Count 10,000 people: 100 are ill, 99 of them positive;
         9,900 are healthy, 495 of them positive. So you are ill with probability 99/594 = 1/6.
      4. p(positive|ill) = .99 and p(ill|positive) = .167 answer two different questions.
      5. A rule that turns round also turns back: from p(x) and p(y|x) to the p(x|y) we came from.
""")


def bayes(prior, likelihood):
    """The posterior p(y|x), shape (y, x), from p(y), shape (y,), and p(x|y), shape (y, x)."""
    joint = prior[:, None] * likelihood
    evidence = joint.sum(axis=0)
    return joint / evidence


test = np.array([[.99, .01], [.05, .95]])  # p(positive or negative|ill), p(...|healthy)
lesson.check("p(ill|positive) = 1/6", bayes(np.array([.01, .99]), test)[0, 0], 1 / 6,
             tolerance=1e-12)
joint = rng.dirichlet(np.ones(20)).reshape(4, 5)  # any p(y, x): 4 causes, 5 things to observe
p_y, p_x = joint.sum(axis=1), joint.sum(axis=0)
x_given_y, y_given_x = joint / p_y[:, None], joint / p_x
lesson.check("Bayes there: p(y|x) as cut from the table", bayes(p_y, x_given_y), y_given_x,
             tolerance=1e-12)
lesson.check("Bayes and back: p(x|y) again", bayes(p_x, y_given_x.T).T, x_given_y, tolerance=1e-12)

# %% Step 3: densities
lesson.step("""
    3. A density is not a probability
    On a line there are too many x for a table. A density p(x) says how much probability there is
    per unit of length:  P(a < X < b) = ∫ p(x) dx from a to b.
      1. N(0, .1²) has p(0) = 1/(.1 √(2π)) = 3.989. No probability is 3.989. But a density may be:
         only the area under it must be 1.
      2. P(-.1 < X < .1) = erf(1/√2) = .683, and P(X = 0) = 0, the area over a single point.
      3. For small h,  P(-h < X < h)/2h → p(0): that is how density and probability hang together.
      4. Measure x in millimetres instead of centimetres. The curve is ten times as wide, so p is a
         tenth; probabilities stay. A density has a unit, 1/length. A probability has none.
      5. A table of probabilities (a pmf) is not a density. Say a pixel has a level 0, 1, ..., 255.
         Add up the density of N(100, .1²) at the levels: 3.989. Add up the probabilities of the
         cells from k - 1/2 to k + 1/2: 1.
      6. Mix the two up, and training has no end: where all data are 100, each halving of s adds
         ln 2 to ln p(100), for ever. The probability of a cell stops at 1.
""")
narrow = Gaussian(0.0, 0.1)  # mean and standard deviation
lesson.check("N(0, .1²) at 0", narrow.pdf(0), 3.989, tolerance=5e-4)
lesson.check("its area", integrate(narrow.pdf, -1, 1, [0]), 1.0, "quadrature")
lesson.check("P(-.1 < X < .1) = erf(1/√2)", integrate(narrow.pdf, -.1, .1),
             math.erf(1 / math.sqrt(2)), "quadrature")
h = 1e-4
lesson.check("P(-h < X < h)/2h → p(0)", (narrow.cdf(h) - narrow.cdf(-h)) / (2 * h), narrow.pdf(0),
             tolerance=narrow.pdf(0) * h**2 / (6 * .1**2) * 1.01)  # p bends: h²/6 p''
in_millimetres = Gaussian(0.0, 1.0)
lesson.check("in millimetres: a tenth of the density", in_millimetres.pdf(10 * .05),
             narrow.pdf(.05) / 10)
lesson.check("in millimetres: the same probability", in_millimetres.cdf(10 * .05), narrow.cdf(.05))
level = np.arange(256)
pixel = Gaussian(100.0, 0.1)
lesson.check("densities at 256 levels add up to 3.989", pixel.pdf(level).sum(), 3.989,
             tolerance=5e-4)
lesson.check("probabilities of 256 cells add up to 1",
             (pixel.cdf(level + .5) - pixel.cdf(level - .5)).sum(), 1.0)
lesson.check("what halving s adds to ln p, again and again",
             np.diff([Gaussian(100, .1 / 2**k).log_pdf(100) for k in range(8)]), LN2)

# %% Step 4: change of variables
lesson.step("""
    4. Change the variable, and the density changes with the slope
    Claim. If Y = f(X) with f increasing, then  p_Y(y) = p_X(x)/f'(x)  at  x = f⁻¹(y).
      1. P(Y < y) = P(X < f⁻¹(y)): one event with two names.
      2. Differentiate both sides by y:  p_Y(y) = p_X(f⁻¹(y)) · d f⁻¹(y)/dy = p_X(x)/f'(x).
      3. In words: f stretches a short piece by f'. The probability in it stays, so the density
         falls by f'. (Where f decreases, take |f'|; in several dimensions |det J|, where J is the
         matrix of all slopes: it says how volumes grow.)
      4. X from N(0, 1), Y = e^X:  p_Y(y) = φ(ln y)/y,  where φ is the density of N(0, 1).
      5. Forget the slope, and the "density" φ(ln y) has the area ∫ φ(x) e^x dx = √e = 1.65.
      6. X is densest at 0, but Y is not densest at e⁰ = 1:  (ln p_Y)' = -(ln y)/y - 1/y = 0 at 1/e.
         "The most probable value" depends on the ruler. Half of all Y lie below 1: that stays.
""")
standard = Gaussian(0.0, 1.0)


def density_of_exp(y):
    """p_Y for Y = e^X; minigen finds the slope of f = exp."""
    x = learnable(np.log(y))
    slope, = mg.grad(ops.exp(x).sum(), x)
    return standard.pdf(x.numpy()) / slope.numpy()


y = np.array([.1, .5, 1., 2., 10.])
low, high = math.exp(-9), math.exp(9)  # all but 1e-18 of the probability
cells = np.exp(np.arange(-8, 9))  # where the quadrature cuts
lesson.check("p_Y of e^X = φ(ln y)/y", density_of_exp(y), standard.pdf(np.log(y)) / y)
lesson.check("the area under p_Y", integrate(density_of_exp, low, high, cells), 1.0, "quadrature")
lesson.check("the area without the slope: √e",
             integrate(lambda y: standard.pdf(np.log(y)), low, high, cells), math.sqrt(math.e),
             "quadrature")
grid = np.linspace(.01, 3, 2991)  # steps of .001: an argmax is exact to half of that
lesson.check("where p_Y is largest: 1/e", grid[density_of_exp(grid).argmax()], 1 / math.e,
             tolerance=6e-4)
lesson.check("P(Y < 1) = 1/2", integrate(density_of_exp, low, 1, cells), 0.5, "quadrature")
A = np.array([[2., 0.], [1., .5]])
z = rng.standard_normal((5, 2))
lesson.check("in the plane, x = Az: p(x) = p(z)/|det A|",
             Gaussian2d([0, 0], cov=A @ A.T).log_pdf(z @ A.T),
             Gaussian2d([0, 0], std=1).log_pdf(z) - math.log(abs(np.linalg.det(A))))

# %% Step 5: Bayes on the line
lesson.step("""
    5. Bayes on the line, and the integral that is hard
    Something hidden, z, comes from N(0, 1). We see x = z + noise, the noise from N(0, σ²), σ = 1/2.
    Claim. p(z|x) = p(x|z) p(z)/p(x), now with the evidence  p(x) = ∫ p(x|z) p(z) dz.
      1. The rule is that of step 2, but the sum over causes has become an integral.
      2. From the other side: z and x together are a Gaussian in the plane with variances 1 and
         1 + σ² and covariance 1. Cut it at our x, and divide by p(x) = N(0, 1 + σ²).
      3. In closed form:  ln p(z|x) = -z²/2 - (x - z)²/2σ² + terms without z.  A parabola in z, so
         again a bell: its top is at z = x/(1 + σ²), its variance is σ²/(1 + σ²).
      4. At x = 1.2 it is N(.96, .2). The prior pulls from 1.2 towards 0, and after seeing x we know
         more than before: .2 < 1.
    One hidden number, one easy integral. A picture has a hundred hidden numbers, and no grid fills
    a space of 100 dimensions. Lesson 03 is about what to do when p(x) cannot be computed.
""")
sigma, seen = 0.5, 1.2
prior = Gaussian(0.0, 1.0)


def likelihood(z):
    """p(x|z) at the x that we saw: the density that it has if z is the hidden number."""
    return np.exp(-((seen - z) / sigma) ** 2 / 2) / (sigma * math.sqrt(2 * math.pi))


evidence = integrate(lambda z: likelihood(z) * prior.pdf(z), -9, 9, [0, seen])
z = np.linspace(-3, 4, 15)
by_bayes = likelihood(z) * prior.pdf(z) / evidence.value
joint = Gaussian2d([0, 0], cov=[[1, 1], [1, 1 + sigma**2]])
marginal = Gaussian(0.0, math.sqrt(1 + sigma**2))
from_joint = joint.pdf(np.stack([z, np.full_like(z, seen)], axis=1)) / marginal.pdf(seen)
posterior = Gaussian(seen / (1 + sigma**2), sigma / math.sqrt(1 + sigma**2))
lesson.check("evidence ∫ p(x|z) p(z) dz = N(0, 1 + σ²) at x", evidence, marginal.pdf(seen),
             "quadrature")
lesson.check("posterior by Bayes = cut from the joint", by_bayes, from_joint, "quadrature", 1e-12)
lesson.check("posterior by Bayes = N(.96, .2)", by_bayes, posterior.pdf(z), "quadrature", 1e-12)

# %% Step 6: the classifier inside
lesson.step("""
    6. Who knows p(x, y) knows p(y|x): where σ(wx + b) comes from
    Two kinds of x: with probability π, y = 1 and x is from N(μ₁, s²); else y = 0, and N(μ₀, s²).
    Claim. P(y = 1|x) = σ(wx + b)  with  w = (μ₁ - μ₀)/s²,  b = (μ₀² - μ₁²)/2s² + ln π/(1 - π),
    and σ(a) = 1/(1 + e^-a), the logistic function.
      1. Bayes:  P(y = 1|x) = A/(A + B) = 1/(1 + B/A) = σ(ln A - ln B)  with  A = π p(x|y = 1)  and
         B = (1 - π) p(x|y = 0).
      2. ln A - ln B = ln π/(1 - π) - (x - μ₁)²/2s² + (x - μ₀)²/2s².  The x² cancel, and what is
         left is a straight line. (With two widths s they do not: exercise c.)
      3. The way back is closed. N(m ± 4, 1.6²) with m = -b/w, half and half, is another world with
         the same w and b. A classifier knows the odds at x, but not how often x comes. So it cannot
         draw: it is discriminative, where p(x, y) is generative.
      4. A learner that is told no μ, s or π, but sees pairs (x, y), finds the same w and b: it goes
         downhill on the mean of -ln P(y|x), step by step, from any start.
      5. With n pairs it is off by chance, and statistics says by how much: the covariance of (b, w)
         is the inverse of the Fisher information Σ σ(1 - σ) [1 x; x x²].
""")
share, s = 0.3, 0.8
kinds = [Gaussian(-0.5, s), Gaussian(1.5, s)]  # y = 0 and y = 1
world = GaussianMixture([1 - share, share], kinds)  # p(x) = Σ p(x, y) over y
w_true = (kinds[1].mean - kinds[0].mean) / s**2
b_true = (kinds[0].mean**2 - kinds[1].mean**2) / (2 * s**2) + math.log(share / (1 - share))
m = -b_true / w_true
other_world = GaussianMixture([.5, .5], [Gaussian(m - 4, 1.6), Gaussian(m + 4, 1.6)])


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def learn(model, loss_of, optimiser, steps):
    """Go downhill on the loss, with steps that shrink to 0. Returns the last loss."""
    lr = optimiser.lr

    def step(i):
        optimiser.lr = lr * (1 - i / steps)
        loss = loss_of(model)
        minimise(loss, optimiser, model)  # find the slope of the loss, and move against it
        return {"loss": loss}

    return train(step, steps).losses["loss"][-1]


line = np.linspace(-3.5, 4.5, 401)
lesson.check("Bayes = σ(wx + b)", world.responsibilities(line)[1], sigmoid(w_true * line + b_true))
lesson.check("another world, the same p(y|x)", other_world.responsibilities(line)[1],
             world.responsibilities(line)[1])
n = 200_000 if lesson.full else 50_000
y = (rng.random(n) < share).astype(int)
x = np.where(y == 1, kinds[1].sample(n, rng), kinds[0].sample(n, rng))
x_column, y_column = (mg.Tensor(a.reshape(-1, 1), dtype="float32") for a in (x, y))
logistic = nn.Linear(1, 1, generator=rng)
learn(logistic, lambda model: losses.bce_with_logits(model(x_column), y_column),
      optim.Adam(logistic.parameters(), lr=0.3), 300)
w, b = logistic.weight.item(), logistic.bias.item()
p = sigmoid(w * x + b)
design = np.stack([np.ones(n), x])
covariance = np.linalg.inv(design * (p * (1 - p)) @ design.T)
lesson.say(f"derived: w = {w_true:.3f}, b = {b_true:.3f}     learned: w = {w:.3f}, b = {b:.3f}")
lesson.check("learned w = (μ₁ - μ₀)/s²", w, w_true, "monte-carlo", n=n,
             standard_error=math.sqrt(covariance[1, 1]))
lesson.check("learned b = (μ₀² - μ₁²)/2s² + ln π/(1 - π)", b, b_true, "monte-carlo", n=n,
             standard_error=math.sqrt(covariance[0, 0]))

# %% Step 7: information
lesson.step("""
    7. Surprise, entropy, and the price of a wrong model
      1. An event of probability p surprises by -ln p: not at all if p = 1; and the surprises of
         independent events add up. That is in nats. Divided by ln 2 it is in bits.
      2. Entropy is the mean surprise,  H(p) = -Σ p ln p.  A fair coin has ln 2 nats, 1 bit.
      3. Bits can be counted. Write four letters of probability 1/2, 1/4, 1/8, 1/8 as 0, 10, 110,
         111: on average 1/2·1 + 1/4·2 + 1/8·3 + 1/8·3 = 1.75 digits a letter, and H is 1.75 bits.
      4. If you believe q while p is true, your mean surprise is the cross-entropy
         H(p, q) = -Σ p ln q.  With q = "all four alike", a letter takes 2 digits.
      5. The price of the error is the Kullback-Leibler divergence
         KL(p||q) = H(p, q) - H(p) = Σ p ln(p/q):  here .25 bits a letter.
      6. It is never negative (Gibbs). From ln t <= t - 1:  -KL = Σ p ln(q/p) <= Σ p (q/p - 1) =
         Σ q - Σ p = 0,  with equality only where t = q/p = 1, everywhere.
      7. It is no distance: KL(p||q) and KL(q||p) differ. And a q that gives 0 to what happens pays
         infinitely much.
      8. For densities sums become integrals, and 6 holds as it is. But H(p) may be negative now, as
         ln p is positive where p > 1. N(0, s²) has H = 1/2 ln(2πe s²), which for s = .1 is -.884.
""")


def entropy_of(p):
    """H(p) = -Σ p ln p in nats, along the last axis."""
    return -(p * np.log(p)).sum(axis=-1)


def kl_of(p, q):
    """KL(p||q) = Σ p ln(p/q) in nats, along the last axis."""
    return (p * np.log(p / q)).sum(axis=-1)


letters, alike = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 8]), np.full(4, 1 / 4)
mean_digits = letters @ [len(code) for code in ("0", "10", "110", "111")]
lesson.check("entropy of a fair coin, bits", entropy_of(np.array([.5, .5])) / LN2, 1.0)
lesson.check("digits a letter = entropy in bits", mean_digits, entropy_of(letters) / LN2)
lesson.check("digits wasted by a wrong q = KL in bits", 2 - mean_digits,
             kl_of(letters, alike) / LN2)
many_p, many_q = rng.dirichlet(np.ones(5), 10_000), rng.dirichlet(np.ones(5), 10_000)
lesson.check("how many of 10,000 KLs are negative", (kl_of(many_p, many_q) < 0).sum(), 0)
fair, bent = np.array([.5, .5]), np.array([.9, .1])
lesson.check("KL(fair||bent), KL(bent||fair)", [kl_of(fair, bent), kl_of(bent, fair)],
             [.5108, .3681], tolerance=5e-5)
lesson.check("entropy of N(0, .1²) is negative", entropy(narrow), -.8836, "quadrature", 5e-5)
humps = GaussianMixture([.7, .3], [Gaussian(-2, .4), Gaussian(2, .4)])
wrong = Gaussian(0.5, 1.5)
lesson.check("cross-entropy = entropy + KL, for densities", cross_entropy(humps, wrong),
             entropy(humps).value + kl(humps, wrong).value, "quadrature")
lesson.check("KL(N(m, s²)||N(0, 1)) = (s² + m² - 1)/2 - ln s", kl(wrong, standard),
             (1.5**2 + .5**2 - 1) / 2 - math.log(1.5), "quadrature")

# %% Step 8: softmax cross-entropy
lesson.step("""
    8. The loss of every classifier, and its gradient
    A network returns any K numbers a₁ ... a_K, the logits. Softmax makes them probabilities:
    q_k = e^(a_k)/Σ_j e^(a_j),  positive, of sum 1.
      1. The loss of an example with label y is its surprise,  L = -ln q_y = -a_y + ln Σ_j e^(a_j).
      2. dL/da_k = -[k = y] + e^(a_k)/Σ_j e^(a_j) = q_k - [k = y]:  what was said minus what came.
         ([k = y] is 1 for k = y, else 0. As a row over k it is called one-hot.)
      3. The loss of n examples is the mean of theirs, so its gradient is (softmax - one-hot)/n.
      4. Add c to all logits: e^c cancels, q stays. Two logits 0 and a:  q₂ = 1/(1 + e^-a) = σ(a),
         which was step 6. Equal logits know nothing, and L = ln K.
      5. If the labels come with frequencies f, the mean of L is H(f, q) = H(f) + KL(f||q). So a
         learned table, logits with no input at all, is best at q = f. Then L = H(f): the entropy of
         the data is left, and no training makes it less.
""")
a, labels = learnable(rng.standard_normal((4, 3))), np.array([2, 0, 1, 2])
loss = losses.cross_entropy(a, labels)
slope, = mg.grad(loss, a)
e = np.exp(a.numpy())
q = e / e.sum(axis=1, keepdims=True)
lesson.check("softmax cross-entropy = the mean surprise", loss, -np.log(q[range(4), labels]).mean())
lesson.check("its gradient: (softmax - one-hot)/n", slope, (q - np.eye(3)[labels]) / 4)
lesson.check("shifted logits, same loss", losses.cross_entropy(a + 100.0, labels), loss)
lesson.check("equal logits: ln K", losses.cross_entropy(constant(np.zeros((6, 10))), [3] * 6),
             math.log(10))
two = ops.stack([constant(np.zeros(4)), a[:, 0]], axis=1)
lesson.check("two classes: the loss of step 6", losses.cross_entropy(two, [0, 1, 1, 0]),
             losses.bce_with_logits(a[:, 0], constant([0, 1, 1, 0])))


class Table(nn.Module):
    """The same eight logits for every picture: (n, 8)."""

    def __init__(self):
        self.logits = learnable(np.zeros((1, 8)))

    def forward(self, n):
        return ops.broadcast_to(self.logits, (n, 8))


few = number[:1000]  # pictures of step 1
frequencies = np.bincount(few, minlength=8) / 1000
learned_table = Table()
last = learn(learned_table, lambda model: losses.cross_entropy(model(1000), few),
             optim.SGD(learned_table.parameters(), lr=5.0), 400)
lesson.check("a learned table = the frequencies in the data", ops.softmax(learned_table.logits)[0],
             frequencies)
lesson.check("its loss = the entropy of the data", last, entropy_of(frequencies))

# %% Step 9: maximum likelihood
lesson.step("""
    9. Maximum likelihood makes KL(data||model) small
    Data x₁ ... x_n come from p. A model p_θ has numbers θ to learn. Maximum likelihood takes the θ
    under which these data are most probable: it minimises their mean surprise -1/n Σ ln p_θ(x_i).
      1. As n grows, this mean goes to  E_p[-ln p_θ(x)] = H(p, p_θ) = H(p) + KL(p||p_θ).
      2. H(p) does not depend on θ. So maximum likelihood looks for the least KL(p||p_θ): the truth,
         if it is in the family of models, else what is next to it by this measure.
      3. For a Gaussian N(μ, s²), whatever the data:  d/dμ = 0 gives Σ (x_i - μ)/s² = 0, so μ is the
         mean of the data;  d/ds = 0 gives s² = the mean of (x_i - μ)². It learns no more than that.
      4. Our truth has two humps, .7 N(-2, .4²) + .3 N(2, .4²). Its mean is -.8, its variance .16 +
         4·.84 = 3.52. The best Gaussian is highest where hardly any data lie. Blame the family of
         models, not the method.
      5. What is learned is ln s: it may be any number, and s = e^(ln s) is positive by itself.
""")


class Bell(nn.Module):
    """N(μ, s²), or several side by side: parameters of one shape, that x broadcasts against."""

    def __init__(self, mu, log_s):
        self.mu, self.log_s = learnable(mu), learnable(log_s)

    def log_pdf(self, x):
        """ln N(x; μ, s²) = -(x - μ)²/2s² - ln s - 1/2 ln 2π."""
        z = (x - self.mu) / ops.exp(self.log_s)
        return -0.5 * z * z - self.log_s - 0.5 * math.log(2 * math.pi)

    def density(self):
        """The same as one of `minigen.densities`."""
        return Gaussian(self.mu.item(), math.exp(self.log_s.item()))


n = 2000
data = humps.sample(n, rng)
x = constant(data)
model = Bell(mu=1.0, log_s=0.0)
learn(model, lambda model: -model.log_pdf(x).mean(), optim.SGD(model.parameters(), lr=0.3), 1000)
bell = model.density()
lesson.say(f"learned: μ = {bell.mean:.4f}, s = {bell.std:.4f}")
lesson.check("learned μ = the mean of the data", bell.mean, data.mean())
lesson.check("learned s = the standard deviation of the data", bell.std, data.std())
lesson.check("the mean of the data", data.mean(), -.8, "monte-carlo", n=n,
             standard_error=humps.std / math.sqrt(n))
squares = (data - humps.mean) ** 2
lesson.check("the variance of the data", squares.mean(), 3.52, "monte-carlo", n=n,
             standard_error=squares.std() / math.sqrt(n))
h, cover = 1e-4, Gaussian(humps.mean, humps.std)
rise = [kl(humps, Gaussian(cover.mean + dm, cover.std + ds)).value
        - kl(humps, Gaussian(cover.mean - dm, cover.std - ds)).value for dm, ds in [(h, 0), (0, h)]]
lesson.check("slope of KL(p||N(μ, s²)) at p's mean and deviation", np.array(rise) / (2 * h), 0.0,
             "quadrature", 1e-7)
surprise = -cover.log_pdf(humps.sample(100_000, rng))
lesson.check("mean surprise → H(p) + KL(p||model)", surprise.mean(),
             entropy(humps).value + kl(humps, cover).value, "monte-carlo", n=100_000,
             standard_error=surprise.std() / math.sqrt(100_000))

# %% Step 10: the two KLs
lesson.step("""
    10. Which KL? One covers, the other seeks
    The same truth p, the same Gaussians q, two questions.
      1. KL(p||q) = E_p[ln p/q] is large if q ≈ 0 somewhere where p > 0. So q covers all the data.
         That was maximum likelihood: q = N(-.8, 3.52).
      2. KL(q||p) = E_q[ln q/p] is large if q > 0 somewhere where p ≈ 0. So q shuns the gap: it
         seeks one hump, and lets the other go.
      3. If q is a hump of p, of weight w, then p = w q wherever q is, and KL(q||p) = -ln w: it is
         -ln .7 = .357 on the left, -ln .3 = 1.204 on the right. Both are minima: the start decides.
      4. The cover's price by its own measure: H(p, q) = 1/2 ln(2πe·3.52), and H(p) is
         1/2 ln(2πe·.16) + h, where h = -.7 ln .7 - .3 ln .3 is the entropy of "which hump?". The
         difference is KL(p||q) = 1/2 ln 22 - h = .935.
      5. The left seeker's price by the other measure: it is surprised by p's right hump, 4 away.
         KL(p||left) = .3·4²/(2·.16) - h = 15 - h = 14.4.
    E_q is a mean over points of q, and q moves. So write x = μ + s·noise with a noise that stays:
    then the slope in μ and s goes through x. Lesson 03 makes much of this.
""")
grid = np.linspace(-8, 8, 161)  # for smooth bumps, a sum over a grid is an excellent integral
noise, weight = constant(grid), constant(standard.pdf(grid) * 0.1)
truth = Bell([[-2.], [2.]], np.log([[.4], [.4]]))
log_share = constant(np.log([[.7], [.3]]))


def reverse_kl(q):
    """KL(q||p) = E_q[ln q - ln p]."""
    x = q.mu + ops.exp(q.log_s) * noise
    log_p = ops.logsumexp(log_share + truth.log_pdf(x), axis=0)
    return (weight * (q.log_pdf(x) - log_p)).sum()


seekers = []
for start in (-1.0, 1.0):
    q = Bell(start, -0.5)
    learn(q, reverse_kl, optim.SGD(q.parameters(), lr=0.05), 1000)
    seekers.append(q.density())
left, right = seekers
lesson.say("\n".join(
    f"{name:5}  N({q.mean:6.3f}, {q.std:.3f}²)   KL(p||q) = {kl(humps, q).value:6.3f}   "
    f"KL(q||p) = {kl(q, humps).value:5.3f}"
    for name, q in (("cover", cover), ("left", left), ("right", right))))
h = entropy_of(humps.weights)
tail = 1e-5  # 5 s from their middles the humps meet, and all below is off by up to 7e-6
lesson.check("least KL(q||p), from the left: N(-2, .4²)", [left.mean, left.std], [-2, .4],
             "quadrature", tail)
lesson.check("least KL(q||p), from the right: N(2, .4²)", [right.mean, right.std], [2, .4],
             "quadrature", tail)
lesson.check("KL(left||p) = -ln .7", kl(left, humps).value, -math.log(.7), "quadrature", tail)
lesson.check("KL(right||p) = -ln .3", kl(right, humps).value, -math.log(.3), "quadrature", tail)
lesson.check("KL(p||cover) = 1/2 ln 22 - h", kl(humps, cover).value, math.log(22) / 2 - h,
             "quadrature", tail)
lesson.check("KL(p||left hump) = 15 - h", kl(humps, humps.components[0]).value, 15 - h,
             "quadrature", tail)

# %% Step 11: typical and most probable
lesson.step("""
    11. To sample is not to find the most probable
    Toss a bent coin, heads with probability .9, a hundred times. The most probable of all sequences
    is a hundred heads; it comes once in 38,000 tries, .9^100 = 2.7e-5. What comes is 90 ± 3 heads:
    each such sequence is rarer, but there are so many more of them.
      1. The same with static: 28×28 pixels, for each a number from N(0, 1). The density is largest
         at the picture that is 0 everywhere: plain grey, of length |x| = 0.
      2. |x|² is a sum of 784 squares of mean 1 and variance 2: it is 784 ± 39.6. So |x| is √784 =
         28, give or take 39.6/(2·28) = .71. All static lies in a thin shell around the grey.
      3. Exactly: |x| has the chi distribution, of density ∝ r^783 e^(-r²/2). The second factor is
         the density of a picture, and it falls. The first is the room that there is at r, and it
         grows. The mean is √2 Γ(785/2)/Γ(784/2) = 27.99, the standard deviation .707.
      4. The grey is denser than typical static by E[|x|²/2] = 392 nats, a factor of 10^170; and you
         will never see it. "The most probable picture" is the answer to another question.
    So to generate is to sample. Who takes the mode, or the mean, takes away all that varies.
""")
heads = np.arange(101)
log_ways = np.array([math.log(math.comb(100, k)) for k in heads])
p_heads = np.exp(log_ways + heads * math.log(.9) + (100 - heads) * math.log(.1))
mean_heads = p_heads @ heads
lesson.check("100 heads: .9^100", p_heads[100], 2.656e-5, tolerance=5e-9)
lesson.check("heads: 90 ± 3", [mean_heads, math.sqrt(p_heads @ (heads - mean_heads) ** 2)], [90, 3])
d = 28 * 28


def shell(r):
    """The density of |x| at r, for x from N(0, I) in d dimensions: the chi distribution."""
    return np.exp((d - 1) * np.log(r) - r**2 / 2 - (d / 2 - 1) * LN2 - math.lgamma(d / 2))


def beyond(r):
    """P(|x| > r) = e^-t Σ t^k/k! over k < d/2, t = r²/2: for even d, parts of the integral."""
    t = r**2 / 2
    return sum(math.exp(k * math.log(t) - t - math.lgamma(k + 1)) for k in range(d // 2))


mean_norm = math.sqrt(2) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2))
std_norm = math.sqrt(d - mean_norm**2)
lesson.check("length of static: 28.0 ± .71", [mean_norm, std_norm], [28.0, .71], tolerance=.01)
lesson.check("its mean, by quadrature", integrate(lambda r: r * shell(r), 20, 36, [28]), mean_norm,
             "quadrature")
lesson.check("P(26 < |x| < 30)", integrate(shell, 26, 30, [28]), beyond(26) - beyond(30),
             "quadrature")
n = 4000
static = rng.standard_normal((n, d))
norms = np.linalg.norm(static, axis=1)
lesson.say(f"the shortest of {n:,} is {norms.min():.1f} long;  P(|x| < 20) = "
           f"{integrate(shell, 1, 20, [17, 19]).value:.0e}")
lesson.check("mean length of static", norms.mean(), mean_norm, "monte-carlo", n=n,
             standard_error=std_norm / math.sqrt(n))
lesson.check("its standard deviation", norms.std(), std_norm, "monte-carlo", n=n,
             standard_error=std_norm / math.sqrt(2 * n))
lesson.check("nats by which the grey is denser", (norms**2 / 2).mean(), d / 2, "monte-carlo", n=n,
             standard_error=math.sqrt(d / 2 / n))

# %% ... and the same with handwriting
lesson.step("""
    The same with handwriting
    A model: choose a digit y, each as often as the others, then x from the Gaussian N(mean, cov) of
    the pictures of y. Maximum likelihood fits it in one go: their mean, and their covariance.
      1. To draw, write cov = DᵀD and x = mean + z D, z from N(0, I), a number for each row of D.
      2. The most probable picture of a digit is z = 0, its mean: a smudge, neither thin nor thick,
         neither upright nor slanted, with none of the ways in which the pictures differ.
      3. For the pictures themselves, the mean of |z|² is the number of rows of D, exactly. They lie
         on a shell as well, far from the most probable one.
      4. Draws vary as much as the data do. Still they look like smoke: a Gaussian knows the pixels
         in pairs only. Better models are what the rest of this course is about.
""")


def fit_pictures(pictures):
    """The mean (pixels,) and D (rows, pixels) with DᵀD = cov, of pictures (n, pixels)."""
    mean = pictures.mean(axis=0)
    _, size, direction = np.linalg.svd(pictures - mean, full_matrices=False)
    kept = size > 1e-6 * size[0]  # along the other directions no two pictures differ
    return mean, size[kept, None] * direction[kept] / math.sqrt(len(pictures))


examples = images.load(lesson, 5000, 0)
flat = examples.train.reshape(5000, -1).astype(np.float64)
by_digit = [flat[examples.train_labels == y] for y in range(len(examples.names))]
fits = [fit_pictures(pictures) for pictures in by_digit]
z = [(pictures - mean) @ D.T / (D**2).sum(axis=1) for pictures, (mean, D) in zip(by_digit, fits)]
lesson.check("mean |z|² of the pictures = rows of D", [(each**2).sum(axis=1).mean() for each in z],
             [len(D) for _, D in fits])
D = fits[0][1]
drawn = rng.standard_normal((2000, len(D))) @ D
lesson.check("variance of the draws = of the pictures", (drawn**2).sum(axis=1).mean(),
             by_digit[0].var(axis=0).sum(), "monte-carlo", n=2000,
             standard_error=math.sqrt(2 * ((D**2).sum(axis=1) ** 2).sum() / 2000))

# %% Step 12: explicit and implicit
lesson.step("""
    12. Two ways to own a distribution: explicit and implicit
    Explicit: a formula p_θ(x). Ask it how probable x is; train it by maximum likelihood.
    Implicit: a machine x = g(z) that turns noise z into x. Ask it for draws, and for nothing else.
    Let us learn p = .7 N(-1, .5²) + .3 N(1.2, .5²) both ways, from the same n points.
      1. Explicit: two Gaussians with learned shares, means and widths; 5 numbers are free. The loss
         is that of step 9. (Shares are the softmax of two logits: positive, of sum 1.)
      2. How far off? With k free numbers and many points, 2n KL(p||p_θ) is like a sum of k squares
         of N(0, 1), whose mean is k (the limit that Wilks found in 1938). So KL is about 5/2n.
      3. Implicit, the perfect one: x = F⁻¹(u), with u uniform on (0, 1) and F(x) = P(X < x). Indeed
         P(F⁻¹(u) < x) = P(u < F(x)) = F(x).  By step 4 its density is 1/(F⁻¹)'(u) = p(x).
      4. Implicit, learned: sort the points, and let the i-th smallest noise land on the i-th point:
         minimise the mean of |g(z_i) - x_i|. That is how far the points must be carried, called W1
         (lesson 06); no density occurs in it. Nor does one in a GAN (lesson 04).
      5. Has g a density at all? Ours rises, so by step 4 it is  p_g(g(z)) = φ(z)/g'(z),  and
         KL(p_g||p) = ∫ φ(z) [ln φ(z) - ln g'(z) - ln p(g(z))] dz  asks for no inverse of g. If g
         folds, several z share an x and add up. If it makes pictures from a few numbers, there is
         no density at all. A g that is built to keep this easy is called a normalising flow.
      6. A yardstick: n points drawn from p itself are not p either. On average their W1 from p is
         ∫ √(2 F(1 - F)/πn) dx.
""")
target = GaussianMixture([.7, .3], [Gaussian(-1, .5), Gaussian(1.2, .5)])
n, repeats = 2000, 20
samples = target.sample(n * repeats, rng).reshape(repeats, n)


class Mixture(nn.Module):
    """Two Gaussians and their shares, for each of many data sets its own: all (2, data sets, 1)."""

    def __init__(self, sets):
        zeros = np.zeros((2, sets, 1))
        self.logits = learnable(zeros)
        self.bells = Bell(zeros + [[[-.5]], [[.5]]], zeros)

    def log_pdf(self, x):
        """ln Σ share · N(x) over the two, for x (data sets, n)."""
        return ops.logsumexp(ops.log_softmax(self.logits, axis=0) + self.bells.log_pdf(x), axis=0)

    def densities(self):
        """The same as a list of `minigen.densities`."""
        learned = ops.softmax(self.logits, axis=0), self.bells.mu, ops.exp(self.bells.log_s)
        shares, means, widths = (numbers.numpy()[:, :, 0].T for numbers in learned)
        return [GaussianMixture(share, [Gaussian(m, s) for m, s in zip(mean, width)])
                for share, mean, width in zip(shares, means, widths)]


mixture, x = Mixture(repeats), constant(samples)
learn(mixture, lambda model: -model.log_pdf(x).mean(axis=1).sum(),
      optim.Adam(mixture.parameters(), lr=0.1), 300)
learned = mixture.densities()
explicit = learned[0]
losts = np.array([kl(target, density).value for density in learned])
lesson.check("explicit: the area", integrate(explicit.pdf, -6, 6, [-1, 1.2]), 1.0, "quadrature")
lesson.check("explicit: mean of 2n KL(p||p_θ) over 20 fits", 2 * n * losts.mean(), 5.0,
             "monte-carlo", n=repeats, standard_error=math.sqrt(2 * 5 / repeats))

# %% ... the implicit ones
u, h = np.array([.01, .2, .5, .69, .71, .9]), 1e-5
slope = (target.quantile(u + h) - target.quantile(u - h)) / (2 * h)
lesson.check("implicit: 1/(F⁻¹)'(u) = p(x)", 1 / slope, target.pdf(target.quantile(u)),
             tolerance=1e-6)
shares_of_p = target.quantile((np.arange(10_000) + .5) / 10_000)  # p, as 10,000 equal parts
pushed = target.quantile(rng.random((40, n)))
floors = np.array([wasserstein1_samples(points, shares_of_p) for points in pushed])
floor = integrate(lambda x: np.sqrt(2 * target.cdf(x) * (1 - target.cdf(x)) / (math.pi * n)), -5, 5,
                  [-1, 1.2])
lesson.check("W1 of n draws F⁻¹(u) from p", floors.mean(), floor.value, "monte-carlo", n=40,
             standard_error=floors.std() / math.sqrt(40))


class Generator(nn.Module):
    """g(z) = m + e^a z + Σ_k e^(h_k) tanh(e^(s_k) z + c_k), a sum of rising curves; z is (n,)."""

    def __init__(self, bends=6):
        self.m, self.a = learnable([0.0]), learnable([-1.0])
        self.h, self.s = learnable(np.full(bends, -2.0)), learnable(np.full(bends, 1.0))
        self.c = learnable(2 * rng.standard_normal(bends))

    def forward(self, z):
        bends = ops.exp(self.h) * ops.tanh(ops.exp(self.s) * z.reshape(-1, 1) + self.c)
        return self.m + ops.exp(self.a) * z + bends.sum(axis=1)


def push(g, z):
    """Where g puts z, and its density there, φ(z)/g'(z): two arrays of z's shape."""
    flat = learnable(z.ravel())
    x = g(flat)
    slope, = mg.grad(x.sum(), flat)
    return x.numpy().reshape(z.shape), standard.pdf(z) / slope.numpy().reshape(z.shape)


generator = Generator()
even_noise = standard.quantile((np.arange(n) + .5) / n)  # n numbers that stand for N(0, 1), sorted
z, x = constant(even_noise), constant(np.sort(samples[0]))
last = learn(generator, lambda g: abs(g(z) - x).mean(), optim.Adam(generator.parameters(), lr=0.05),
             600)
z, h = np.linspace(-3, 3, 13), 1e-6
length = push(generator, z + h)[0] - push(generator, z - h)[0]
lesson.check("implicit: p_g = probability per unit of length",
             push(generator, z)[1], (standard.cdf(z + h) - standard.cdf(z - h)) / length,
             tolerance=1e-6)


def lost_at(z):
    """φ(z) [ln p_g(x) - ln p(x)] at x = g(z)."""
    x, density = push(generator, z)
    return standard.pdf(z) * (np.log(density) - target.log_pdf(x))


implicit_kl = integrate(lost_at, -8, 8, np.linspace(-3, 3, 25), tolerance=1e-9).value
explicit_w1 = wasserstein1(target, explicit).value
implicit_w1 = wasserstein1_samples(push(generator, even_noise)[0], shares_of_p)
points_w1 = wasserstein1_samples(samples[0], shares_of_p)
lesson.say(f"""
    from p:                     KL, nats    W1
    explicit, 5 numbers          {losts[0]:.4f}   {explicit_w1:.4f}
    implicit, 20 numbers         {implicit_kl:.4f}   {implicit_w1:.4f}
    the {n:,} points              none   {points_w1:.4f}
""")
lesson.check("explicit: W1 from p", explicit_w1, 0.0, "trained", .09,
             why="109 runs: .025, sd .013; + 5 sd")
lesson.check("implicit: W1 from its points", last, 0.0, "trained", .014,
             why="109 runs: .0079, sd .0012; + 5 sd")
lesson.check("implicit: W1 from p", implicit_w1, 0.0, "trained", .09,
             why="109 runs: .027, sd .013; + 5 sd")
lesson.check("implicit: KL(p_g||p)", implicit_kl, 0.0, "trained", .011,
             why="109 runs: .0039, sd .0014; + 5 sd")

# %% Figures


def figure_of_densities() -> None:
    """Six panels, one for each of the ideas that can be drawn on a line."""
    fig, axes = plt.subplots(2, 3, figsize=(13.5, 7.6), layout="constrained")
    draw_density(axes[0, 0])
    draw_posterior(axes[0, 1])
    draw_classifier(axes[0, 2])
    draw_two_kls(axes[1, 0])
    draw_shell(axes[1, 1])
    draw_explicit_and_implicit(axes[1, 2])
    lesson.figure(fig)


def draw_density(ax):
    x = np.linspace(-.42, .42, 400)
    inside = np.linspace(-.1, .1, 100)
    ax.fill_between(inside, narrow.pdf(inside), color=REAL, alpha=0.3)
    ax.plot(x, narrow.pdf(x), color=REAL)
    ax.axhline(1, color=THEORY, lw=0.8, ls=":")
    for text, at, place in (("height 3.989:\nnot a probability", (0, narrow.pdf(0)), (.13, 3.5)),
                            ("area .683:\na probability", (.03, 1.8), (.2, 1.9))):
        ax.annotate(text, at, place, arrowprops=dict(arrowstyle="->", color=THEORY))
    ax.set(ylim=(0, 4.3), xlabel="x", ylabel="p(x) of N(0, .1²)")
    ax.set_title("A density may exceed 1, its area may not")


def draw_posterior(ax):
    z = np.linspace(-3, 3.4, 400)
    ax.plot(z, prior.pdf(z), color=THEORY, ls="--", label="prior p(z)")
    ax.plot(z, likelihood(z), color=FAKE, ls="--", label="likelihood p(x|z)")
    ax.fill_between(z, posterior.pdf(z), color=REAL, alpha=0.25)
    ax.plot(z, posterior.pdf(z), color=REAL, label="posterior p(z|x)")
    ax.set(ylim=(0, 1.2), xlabel=f"z, hidden; x = {seen} is seen", ylabel="density")
    ax.set_title("Bayes: multiply, then make the area 1")
    ax.legend(loc="upper left")


def draw_classifier(ax):
    for share, kind, color, y in zip(world.weights, kinds, (FAKE, REAL), (0, 1)):
        ax.fill_between(line, share * kind.pdf(line), color=color, alpha=0.3,
                        label=f"p(x, y = {y})")
    ax.plot(line, sigmoid(w * line + b), color=LEARNED, lw=2.5, label="learned σ(wx + b)")
    ax.plot(line, world.responsibilities(line)[1], color=THEORY, ls="--", lw=1.2,
            label="Bayes P(y = 1|x)")
    ax.set(ylim=(0, 1.05), xlabel="x", ylabel="density; probability of y = 1")
    ax.set_title("Bayes' rule contains the classifier")
    ax.legend(loc="upper left")


def draw_two_kls(ax):
    x = np.linspace(-6, 5, 600)
    ax.fill_between(x, humps.pdf(x), color=REAL, alpha=0.25, label="truth p")
    ax.plot(x, cover.pdf(x), color=LEARNED, label="least KL(p||q): covers")
    ax.plot(x, left.pdf(x), color=FAKE, label="least KL(q||p): seeks")
    ax.plot(x, right.pdf(x), color=FAKE, ls="--", label="... from the right")
    ax.set(ylim=(0, 1.45), xlabel="x", ylabel="density")
    ax.set_title("One Gaussian for two humps")
    ax.legend(loc="upper left")


def draw_shell(ax):
    r = np.linspace(24, 32, 300)
    ax.hist(norms, 40, density=True, color=REAL, alpha=0.4, label=f"{len(norms):,} draws")
    ax.plot(r, shell(r), color=THEORY, ls="--", label="chi distribution")
    ax.plot(0, 0, "o", color=FAKE, clip_on=False, label="the most probable picture")
    ax.set(xlim=(0, 34), ylim=(0, .75), xlabel="length |x| of 28×28 static", ylabel="density")
    ax.set_title("Nobody lives at the mode")
    ax.legend(loc="upper left")
    for place, picture in ((.02, 0 * static[0]), (.55, static[0])):
        inset = ax.inset_axes([place, .15, .22, .3])
        inset.imshow(picture.reshape(28, 28), cmap="gray", vmin=-3, vmax=3)
        inset.set_axis_off()


def draw_explicit_and_implicit(ax):
    x = np.linspace(-3, 3.2, 400)
    z = np.linspace(-3.6, 3.6, 2000)
    ax.hist(push(generator, rng.standard_normal(20_000))[0], 80, density=True, color=FAKE,
            alpha=0.3, label="implicit: 20,000 draws g(z)")
    ax.plot(*push(generator, z), color=FAKE, label="its density φ/g'")
    ax.plot(x, explicit.pdf(x), color=LEARNED, label="explicit: $p_θ$")
    ax.plot(x, target.pdf(x), color=THEORY, ls="--", label="truth p")
    ax.set(xlim=(-3, 3.2), ylim=(0, .8), xlabel="x", ylabel="density")
    ax.set_title("Learned twice from 2,000 points")
    ax.legend(loc="upper right")


def figure_of_pictures() -> None:
    """Static and handwriting: data, most probable pictures, draws."""
    shape, count = examples.train.shape[1:], len(fits)
    draws = [mean + rng.standard_normal((2, len(D))) @ D for mean, D in fits]
    rows = {
        "Data": [pictures[i] for i in range(2) for pictures in by_digit],
        "The most probable picture of each kind": [mean for mean, _ in fits],
        "Draws from the same model": [draw[i] for i in range(2) for draw in draws],
    }
    grey = .5 + .15 * static[:count].reshape(count, 1, 28, 28)
    grey[0] = .5
    fig, axes = plt.subplots(4, 1, figsize=(7, 6.2), height_ratios=[1, 2, 1, 2],
                             layout="constrained")
    images.show(axes[0], grey, count, "Static, N(0, I): the most probable picture, then draws")
    for ax, (title, pictures) in zip(axes[1:], rows.items()):
        images.show(ax, np.reshape(pictures, (-1, *shape)), count, title)
    lesson.figure(fig, "pictures")


figure_of_densities()
figure_of_pictures()

# %%
lesson.step("""
    13. Exercises
      a. Your second test (step 2), independent of the first, is positive too. How sure are you now?
      b. U is uniform on (0, 1). Which density has Y = -ln U?
      c. y = 0: N(0, 1), y = 1: N(0, 2²), each half of the time. Where does P(y = 1|x) cross 1/2?
      d. Somebody draws the pixels of step 1 independently, each with its own p(x_i). How many bits
         does he lose, a picture? Which entropies is that the difference of?
      e. p = N(0, 1), q uniform on (-1, 1). What are KL(p||q) and KL(q||p)?
    Answers
      a. The posterior is the new prior: .99 · 1/6 / (.99 · 1/6 + .05 · 5/6) = 99/124 = .798.
      b. f = -ln falls, |f'| = 1/u, so p_Y(y) = 1/(1/u) = u = e^-y, the exponential distribution.
      c. The x² stay: ln A/B = -ln 2 + x² (1/2 - 1/8) = 0 at x = ±√(8/3 ln 2) = ±1.36.
      d. KL(p||p₁p₂p₃) = H(x₁) + H(x₂) + H(x₃) - H(x₁, x₂, x₃): what the pixels know of each other.
      e. KL(p||q) = ∞, since p has points where q says "never". The other way round it is
         E_q[x²]/2 + ln √(2π) - ln 2 = 1/6 + .919 - .693 = .392.
""")
lesson.check("exercise a: ill, after two positive tests",
             bayes(np.array([1 / 6, 5 / 6]), test)[0, 0], 99 / 124)
u = learnable([.1, .5, .9])
y = -ops.log(u)
slope, = mg.grad(y.sum(), u)
lesson.check("exercise b: density e^-y", 1 / np.abs(slope.numpy()), np.exp(-y.numpy()))
two_widths = GaussianMixture([.5, .5], [Gaussian(0, 1), Gaussian(0, 2)])
lesson.check("exercise c: P(y = 1|x) at x = √(8/3 ln 2)",
             two_widths.responsibilities(math.sqrt(8 / 3 * LN2))[1], .5)
alone = [table.sum(axis=tuple({0, 1, 2} - {i})) for i in range(3)]
product = alone[0][:, None, None] * alone[1][:, None] * alone[2]
lesson.check("exercise d: bits lost", kl_of(table.ravel(), product.ravel()) / LN2,
             (sum(map(entropy_of, alone)) - entropy_of(table.ravel())) / LN2)
box = Uniform(-1, 1)
lesson.check("exercise e: KL(p||q)", kl(standard, box).value, math.inf)
lesson.check("exercise e: KL(q||p)", kl(box, standard), 1 / 6 + math.log(2 * math.pi) / 2 - LN2,
             "quadrature")

lesson.finish()
