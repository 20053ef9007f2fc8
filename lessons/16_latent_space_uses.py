"""16. What codes are good for: labels, groups, search, outliers, and arithmetic

The question. An autoencoder has seen thousands of images, and not one label. What do its codes say
more plainly than the pixels do? And how do we find out, in numbers, without fooling ourselves?

You will derive each judge before it judges: the linear probe and its one minimum, nearest
neighbours and their error, k-means and mutual information, the area under a ROC curve and what it
counts, precision at k. Each is checked against brute force or a closed form. Then codes and pixels
meet: few labels, groups, search, outliers, walks, noise, and vectors that change one attribute.

You need: autoencoders and PCA (lesson 02), VAEs (03), the optimal discriminator (04).
Papers: Alain and Bengio 2016 (probes); Cover and Hart 1967 (nearest neighbour); Lloyd 1982, Arthur
and Vassilvitskii 2007 (k-means); Strehl and Ghosh 2002 (NMI); Hanley and McNeil 1982 (ROC area);
Larsen et al. 2016, White 2016 (attribute vectors); Nalisnick et al. 2019 (what likelihoods miss).

Notation: x an image as a row of pixels, z its code, c a label. ln is natural; information in nats.

Other images:  --data digits|mnist|fashion|shapes. The attribute vectors always use the shapes.
--full trains on all images (60,000 of MNIST's) and compares with published errors on its pixels.
"""

# %% Setup
import math
import time

import matplotlib.pyplot as plt
import numpy as np
from images import DATA, load, show
from lesson import FAKE, LEARNED, REAL, THEORY, Lesson

import minigen as mg
from minigen import data, losses, nn, ops, optim
from minigen.densities import Gaussian
from minigen.models.autoencoder import ConvAutoencoder
from minigen.models.gan import optimal_discriminator
from minigen.models.pca import PCA
from minigen.models.probe import Probe
from minigen.models.vae import VAE, GaussianLikelihood
from minigen.quadrature import integrate
from minigen.training import Batches, minimise, train

lesson = Lesson("16_latent_space_uses", __doc__, arguments=[DATA])
rng = lesson.rng
images = load(lesson, *(60_000, 10_000) if lesson.full else (6_000, 2_000))
classes = len(images.names)
CODE = 32
LN2 = math.log(2)
COLOUR = {"pixels": REAL, "PCA 32": THEORY, "codes": LEARNED}  # of the rivals, in every figure

# What training leaves to chance: mean and standard deviation over seeds 100 to 129, 30 runs each.
SPREAD: dict[str, dict[str, tuple[float, float]]] = {"digits": {}, "mnist": {}}


def expect(name, got):
    """A trained check, where the spread over seeds is known: 5 standard deviations about its mean.
    For other images, and with --full, the number alone.
    """
    known = {} if lesson.full else SPREAD.get(lesson.args.data, {})
    if name in known:
        mean, sd = known[name]
        lesson.check(name, got, mean, "trained", 5 * sd, why=f"30 runs: {mean}, sd {sd}; 5 sd")
    else:
        lesson.say(f"{name}: {got:.4g}")


def flat(x):
    """Images (n, ...) as rows of pixels."""
    return x.reshape(len(x), -1)


def mapped(f, x):
    """The Tensor function f of an array, in pieces: float64, on the host."""
    with mg.no_grad():
        return np.concatenate([f(mg.Tensor(x[i:i + 500], dtype="float32")).numpy()
                               for i in range(0, len(x), 500)]).astype(np.float64)


# %% Step 1: an autoencoder
lesson.step("""
    1. The codes
    A convolutional autoencoder of lesson 02 squeezes each image into 32 numbers. It never sees a
    label. Its rivals are the pixels themselves, and PCA's 32 numbers: what a network does not do
    better than PCA is no merit of the network.
""")


def fit(loss, model, steps, lr, label):
    """Adam on loss(), which takes its own batch; the step size stays, then falls to 0."""
    optimiser = optim.Adam(model.parameters())

    def step(i):
        optimiser.lr = lr * min(1.0, 2 * (1 - i / steps))
        value = loss()
        minimise(value, optimiser, model)
        return {"loss": value}

    return train(step, steps, label=label)


def autoencoder(x, steps):
    """A trained autoencoder of images x."""
    model = ConvAutoencoder(*x.shape[1:3], CODE, width=16 if lesson.full else 8, generator=rng)
    batches = Batches([x], 64, rng)

    def loss():
        x, = next(batches)
        return losses.bce_with_logits(model(x), x)

    fit(loss, model, steps, 5e-3, "autoencoder")
    return model


start = time.perf_counter()
ae = autoencoder(images.train, 8000 if lesson.full else 600)
trained_in = time.perf_counter() - start
pixels, codes = flat(images.train), mapped(ae.encode, images.train)
test_pixels, test_codes = flat(images.test), mapped(ae.encode, images.test)
copies = mapped(lambda x: ops.sigmoid(ae(x)), images.test)
pca = PCA.fit(pixels, CODE)
features = {  # how each rival sees the images to learn from, and those to judge by
    "pixels": (pixels, test_pixels),
    "PCA 32": (pca.encode(pixels), pca.encode(test_pixels)),
    "codes": (codes, test_codes),
}


def squared_error(x, y):
    """|x - y|² of each image: a sum over its pixels."""
    return ((flat(x) - flat(y)) ** 2).sum(axis=1)


left_over = squared_error(copies, images.test).mean()
left_by_pca = squared_error(pca.decode(features["PCA 32"][1]), images.test).mean()
lesson.say(f"trained in {trained_in:.0f} s; squared error of new images: autoencoder "
           f"{left_over:.2f}, PCA {left_by_pca:.2f}")
expect("squared error of new images, AE over PCA", left_over / left_by_pca)

# %% Step 2: a map
lesson.step("""
    2. A map of the codes
    Claim. PCA of the codes is the best flat map of them, and the map brings nothing further apart.
      1. Of all planes, that of the first two components loses the least: the mean squared distance
         from a code to the plane is the sum of the other eigenvalues (lesson 02).
      2. The map is a projection. Say z - z' has the part p in the plane and q across it: then
         |z - z'|² = |p|² + |q|² >= |p|².
      3. So points that are far apart on the map are far apart in the code. The converse is false:
         what overlaps on the map may be kept well apart by the other 30 numbers.
""")
maps = {name: PCA.fit(train, 2) for name, (train, _) in features.items() if name != "PCA 32"}
flat_codes = maps["codes"].encode(test_codes)
lost = ((codes - maps["codes"].decode(maps["codes"].encode(codes))) ** 2).sum(axis=1).mean()
lesson.check("the map loses the tail of the eigenvalues", lost, maps["codes"].tail)


def distances(a, b):
    """|a_i - b_j|² of all rows, (n, m), by |a|² + |b|² - 2 a·b."""
    return (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T


stretch = distances(flat_codes[:500], flat_codes[:500]) - distances(test_codes[:500],
                                                                    test_codes[:500])
lesson.check("the most that the map moves two codes apart", max(0.0, stretch.max()), 0.0,
             tolerance=1e-9 * (codes ** 2).sum(axis=1).max())
shares = {name: 1 - m.tail / m.eigenvalues.sum() for name, m in maps.items()}
lesson.say(f"variance on the map: pixels {shares['pixels']:.0%}, codes {shares['codes']:.0%}")


def scattered(at, size=24):
    """A picture in which test images lie at their places `at` (n, 2), as many as do not overlap."""
    side = images.test.shape[-1]
    low, high = np.quantile(at, [0.01, 0.99], axis=0)
    corners = ((at - low) / (high - low) * (size - 1) * side).round().astype(int)
    canvas = np.ones((size * side, size * side, 3))
    palette = np.array(plt.get_cmap("tab10").colors)
    taken = np.full((1, 2), -10**6)
    for (x, y), image, c in zip(corners, images.test, images.test_labels):
        if min(x, y) >= 0 and max(x, y) <= (size - 1) * side and (
                np.abs(taken - (x, y)).max(axis=1) >= 0.85 * side).all():
            taken = np.append(taken, [(x, y)], axis=0)
            ink = image.transpose(1, 2, 0)
            tile = 1 - ink * (1 - palette[c]) if len(image) == 1 else ink
            canvas[y:y + side, x:x + side] = np.minimum(canvas[y:y + side, x:x + side], tile)
    return canvas


def figure_of_maps():
    """Test images at their places on the maps of pixels and of codes, a colour for each class."""
    fig, axes = plt.subplots(1, 2, figsize=(12, 6.2), layout="constrained")
    for ax, (name, m) in zip(axes, maps.items()):
        ax.imshow(scattered(m.encode(features[name][1])), interpolation="antialiased")
        ax.set(xticks=[], yticks=[], xlabel="first component", ylabel="second component")
        ax.set_title(f"PCA of the {name}: {shares[name]:.0%} of their variance")
    lesson.figure(fig, "maps")


figure_of_maps()

# %% Step 3: the linear probe
lesson.step("""
    3. The judge that is linear: softmax regression, a probe
    Claim. The probe has one minimum; it depends on the data, and on no seed and no patience.
      1. p(c|z) = softmax(W z + b)_c; the loss is the mean of -ln p(c_i|z_i), plus l2/2 |W|².
      2. In the logits the gradient of -ln p(c|z) is p - t, with t the one-hot label (lesson 00).
         So the gradient in W is the mean of (p - t) zᵀ, plus l2 W.
      3. The second derivative in the logits is diag(p) - p pᵀ: it is the covariance of a one-hot
         draw from p, so it is >= 0. The loss is convex, and with l2 > 0 strictly so in W.
      4. Then the point of gradient 0 is the minimum. The engine's own gradient must be 0 there.
      5. For two classes N(-1, 1) and N(1, 1) the true log-ratio is 2z (lesson 04): slope 2, up to
         the noise of n points, whose covariance is the inverse of Σ p (1 - p) [1 z; z z²].
    "A linear probe reads c off z" means that c is *plain* in z. What it cannot read may still be
    there: the pixels hold all that the codes hold.
""")


def slopes(probe, x, labels, l2):
    """The largest slope, in any weight, that the engine finds in the probe's loss."""
    z = mg.Tensor((x - probe.mean) / probe.scale)
    w, b = (mg.Tensor(value, requires_grad=True) for value in (probe.weight, probe.bias))
    loss = losses.cross_entropy(z @ w + b, labels) + l2 / 2 * (w * w).sum()
    return max(np.abs(g.numpy()).max() for g in mg.grad(loss, [w, b]))


some = slice(0, 300)
probe = Probe.fit(codes[some], images.train_labels[some], 1e-2)
lesson.check("the engine's gradient at the probe's minimum",
             slopes(probe, codes[some], images.train_labels[some], 1e-2), 0.0, tolerance=1e-5)
alone = np.concatenate([probe.logits(z[None]) for z in test_codes[:20]])
lesson.check("a code judged alone, and in a crowd", alone, probe.logits(test_codes)[:20])

n = 20_000
side = np.arange(n) % 2
points = rng.normal(2.0 * side - 1, 1.0)
two = Probe.fit(points[:, None], side, l2=1e-7)
at_0, at_1 = np.diff(two.logits(np.array([[0.0], [1.0]])))[:, 0]
p = optimal_discriminator(Gaussian(1, 1).pdf(points), Gaussian(-1, 1).pdf(points))
design = np.stack([np.ones(n), points])
covariance = np.linalg.inv(design * (p * (1 - p)) @ design.T)
lesson.check("probe of N(±1, 1): slope of the log-ratio", at_1 - at_0, 2.0, "monte-carlo", n=n,
             standard_error=math.sqrt(covariance[1, 1]))

# %% Step 4: nearest neighbours
lesson.step("""
    4. The judge that looks around: nearest neighbours
    Claim. With enough points, the nearest neighbour errs at a rate that we can compute.
      1. k-NN gives a point the label that most of its k nearest labelled points have. It learns
         nothing: all depends on what "near" means, in pixels or in codes.
      2. |a - b|² = |a|² + |b|² - 2 a·b:  one matrix product for all pairs.
      3. A point is its own nearest neighbour, at distance 0. Whoever judges k-NN on the points it
         knows must leave the point itself out; else 1-NN is always right.
      4. Let η(x) = P(c = 1|x). As n grows the neighbour of x comes to lie at x, and its label is
         an independent draw: they differ with probability η(1 - η) + (1 - η)η = 2η(1 - η).
      5. So the error tends to E[2η(1 - η)], and with Bayes' error R = E[min(η, 1 - η)] it is
         at most 2R(1 - R), by Jensen (Cover and Hart 1967): at most twice the best.
      6. For N(±1, 1): η = σ(2x), R = Φ(-1) = .1587.
""")


def neighbours(queries, points, k, themselves=False):
    """The k nearest of points (n, d) to each query (q, d), the nearest first: indices (q, k).

    themselves: the queries are the points, and none counts as its own neighbour.
    """
    found = np.empty((len(queries), k), dtype=np.int64)
    for start in range(0, len(queries), 500):
        rows = slice(start, start + 500)
        far = distances(queries[rows], points)
        if themselves:
            far[np.arange(len(far)), start + np.arange(len(far))] = np.inf
        near = np.argpartition(far, k - 1, axis=1)[:, :k]
        order = np.take_along_axis(far, near, axis=1).argsort(axis=1)
        found[rows] = np.take_along_axis(near, order, axis=1)
    return found


def vote(labels):
    """The commonest of each row of labels (q, k), nearest first; a tie goes to the nearer."""
    q, k = labels.shape
    votes = np.zeros((q, labels.max() + 1))
    np.add.at(votes, (np.arange(q)[:, None], labels), 1 + 1e-3 * 0.5 ** np.arange(k))
    return votes.argmax(axis=1)


few, other = rng.standard_normal((40, 3)), rng.standard_normal((25, 3))
by_loops = [sorted(range(40), key=lambda j: math.dist(q, few[j]))[:5] for q in other]
lesson.check("5 nearest neighbours: as by loops", neighbours(other, few, 5), by_loops)
others = [min(set(range(40)) - {i}, key=lambda j: math.dist(few[i], few[j])) for i in range(40)]
lesson.check("nearest other point: as by loops", neighbours(few, few, 1, True)[:, 0], others)
lesson.check("a tie goes to the nearer", vote(np.array([[3, 1, 1, 3], [1, 3, 3, 1]])), [3, 1])

x_test, c_test = rng.standard_normal(4000), rng.integers(0, 2, 4000)
x_test += 2 * c_test - 1
order = points.argsort()
right = np.clip(np.searchsorted(points[order], x_test), 1, n - 1)
nearer = right - (x_test - points[order][right - 1] < points[order][right] - x_test)
errs = side[order][nearer] != c_test


def disagreement(x):
    """m(x) 2η(1 - η), with m the density of both classes together."""
    one, zero = Gaussian(1, 1).pdf(x), Gaussian(-1, 1).pdf(x)
    eta = optimal_discriminator(one, zero)
    return (one + zero) / 2 * 2 * eta * (1 - eta)


limit = integrate(disagreement, -10, 10, [-1, 0, 1]).value
bayes = Gaussian(0, 1).cdf(-1.0)
lesson.say(f"N(±1, 1): Bayes {bayes:.4f} <= 1-NN {limit:.4f} <= 2R(1 - R) = "
           f"{2 * bayes * (1 - bayes):.4f}")
lesson.check("by how much 1-NN's limit breaks Cover and Hart's bounds",
             max(0.0, bayes - limit, limit - 2 * bayes * (1 - bayes)), 0.0, "quadrature")
lesson.check("error of 1-NN on N(±1, 1): E[2η(1 - η)]", errs.mean(), limit, "monte-carlo", n=4000,
             standard_error=math.sqrt(limit * (1 - limit) / 4000))

# %% Step 5: few labels
lesson.step("""
    5. Few labels: codes against pixels
    Images are cheap, labels are not. Both judges get n labelled images, as many of each class, and
    name new ones. Everything else about the images was learned without labels.
      1. Each n is drawn several times; the curves are means, the bands the draws' deviation.
      2. PCA's 32 numbers are the control. If they did as well, it would be the smaller number of
         features that helps, and no network would be needed.
      3. No theorem says that codes win. An autoencoder spends its numbers on what moves many
         pixels. In digits that is the course of the strokes, which tells the digit. In the coloured
         shapes it is place and size: with --data shapes the kind is plainer in the pixels.
      4. Nor can they stay ahead for ever. With labels enough, what the code has thrown away is what
         the pixels still have.
""")


def accuracies(view, chosen):
    """(probe, 1-NN): the share of test images that each names right from the labels chosen."""
    train, test = features[view]
    labels = images.train_labels[chosen]
    linear = Probe.fit(train[chosen], labels).accuracy(test, images.test_labels)
    nearest = labels[neighbours(test, train[chosen], 1)[:, 0]]
    return linear, (nearest == images.test_labels).mean()


def choose(n):
    """n // classes training images of each class."""
    return np.concatenate([rng.choice(np.flatnonzero(images.train_labels == c), n // classes,
                                      replace=False) for c in range(classes)])


draws = {10: 10, 30: 10, 100: 6, 300: 3, 1000: 2} | ({3000: 2, 10_000: 1} if lesson.full else {})
curve = {}  # (view, n) -> (draws, 2)
for n_labels, count in draws.items():
    for chosen in lesson.progress([choose(n_labels) for _ in range(count)], f"{n_labels} labels"):
        for view in features:
            curve.setdefault((view, n_labels), []).append(accuracies(view, chosen))
curve = {key: np.array(value) for key, value in curve.items()}

rows = ["accuracy on new images, probe / 1-NN",
        "  labels" + "".join(f"{view:>17}" for view in features)]
for n_labels in draws:
    means = [curve[view, n_labels].mean(axis=0) for view in features]
    rows.append(f"  {n_labels:6}" + "".join(f"{a:9.1%} /{b:6.1%}" for a, b in means))
lesson.say("\n".join(rows))


def ahead(n_labels, judge, rival):
    """By how much codes beat a rival: the mean over the draws, which both shared."""
    return (curve["codes", n_labels] - curve[rival, n_labels])[:, judge].mean()


expect("probe, 100 labels: codes ahead of pixels", ahead(100, 0, "pixels"))
expect("probe, 100 labels: codes ahead of PCA 32", ahead(100, 0, "PCA 32"))
expect("probe, 1000 labels: codes ahead of pixels", ahead(1000, 0, "pixels"))
expect("1-NN, 100 labels: codes ahead of pixels", ahead(100, 1, "pixels"))


# %% ... all labels (--full only: it takes minutes)
if lesson.full:
    by_3 = {view: vote(images.train_labels[neighbours(test, train, 3)])
            for view, (train, test) in features.items()}
    errors = {view: (1 - Probe.fit(train, images.train_labels).accuracy(test, images.test_labels),
                     (by_3[view] != images.test_labels).mean())
              for view, (train, test) in features.items()}
    lesson.say(f"{len(pixels):,} labels: error of probe / 3-NN\n" + "\n".join(
        f"  {view:8}{a:7.2%} /{b:6.2%}" for view, (a, b) in errors.items()))
    if lesson.args.data == "mnist":
        lesson.say(f"""
            published, on pixels: linear, by least squares, 12.0%, k-NN 5.0% (LeCun et al. 1998);
            3-NN 3.09% (Wilder, in the table kept with the data), from which ours is off by \
{errors["pixels"][1] - 0.0309:+.2%}:
            where three labels tie we take the nearest; the smallest would give 2.95% on MNIST.""")


def figure_of_labels():
    """Accuracy against the number of labels, for both judges and all three views."""
    fig, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    counts = list(draws)
    for judge, (ax, title) in enumerate(zip(axes, ("linear probe", "nearest neighbour"))):
        for view in features:
            values = [curve[view, count][:, judge] for count in counts]
            mean, sd = np.array([v.mean() for v in values]), np.array([v.std() for v in values])
            ax.fill_between(counts, mean - sd, mean + sd, color=COLOUR[view], alpha=0.15, lw=0)
            ax.plot(counts, mean, "o-", ms=4, color=COLOUR[view], label=view)
        ax.set(xscale="log", xlabel="labelled images", ylim=(0, 1))
        ax.set_xticks(counts, [f"{count:,}" for count in counts])
        ax.minorticks_off()
        ax.set_title(title)
        ax.legend(loc="lower right")
    axes[0].set_ylabel("accuracy on new images")
    lesson.figure(fig, "labels")


figure_of_labels()

# %% Step 6: groups
lesson.step("""
    6. Groups without labels; and why k-NN is not clustering
    Claim. k-means minimises the squared distance to k centres, and each of its steps lowers it.
      1. J = Σ_i |z_i - m_a(i)|². Give each point its nearest centre: J falls, or a stays.
      2. Put each centre in the mean of its points: of all centres the mean has the least J.
      3. There are finitely many assignments a, so it stops: in a local minimum. So try several
         starts, spread out by chance (k-means++), and keep the best.
      4. Scatter splits:  Σ|z_i - m|² = Σ|z_i - m_a(i)|² + Σ_j n_j |m_j - m|²  (m the mean of all).
    k-NN is no clustering. It needs labels, makes no groups, and would follow any labels that we
    give it. k-means sees no labels, and finds the same groups whatever they are.
""")


def spread_out(z, k):
    """k rows of z to start from: each next one with probability ∝ the squared distance so far."""
    centres = [z[rng.integers(len(z))]]
    while len(centres) < k:
        far = distances(z, np.array(centres)).min(axis=1).clip(0)
        centres.append(z[rng.choice(len(z), p=far / far.sum())])
    return np.array(centres)


def k_means(z, k):
    """One run: the group of each row of z (n,), the k centres, and J after each step."""
    centres = spread_out(z, k)
    groups, history = np.full(len(z), -1), []
    while True:
        nearest = distances(z, centres).argmin(axis=1)
        if (nearest == groups).all():
            return groups, centres, history
        groups = nearest
        history.append(((z - centres[groups]) ** 2).sum())
        for j in np.unique(groups):
            centres[j] = z[groups == j].mean(axis=0)
        history.append(((z - centres[groups]) ** 2).sum())


def best_groups(z, k, starts=4):
    """The groups of the best of several runs."""
    return min((k_means(z, k) for _ in range(starts)), key=lambda run: run[2][-1])[0]


groups, centres, history = k_means(test_codes, classes)
lesson.check("k-means: the greatest rise of J", max(0.0, np.diff(history).max()), 0.0,
             tolerance=1e-9 * history[0])
between = ((centres[groups] - test_codes.mean(axis=0)) ** 2).sum()
lesson.check("scatter = within groups + between groups", history[-1] + between,
             ((test_codes - test_codes.mean(axis=0)) ** 2).sum())

# %% ... how well do groups match classes?
lesson.step("""
    Normalised mutual information
      1. p_ab is the share of points in group a and class b. I = Σ p_ab ln[p_ab/(p_a p_b)] says how
         many nats the group tells about the class: 0 if independent, at most either entropy.
      2. NMI = I/[(H_a + H_b)/2]. Names do not matter: two equal partitions have I = H, NMI = 1.
      3. Cut each of L equal classes in two: I = H_b = ln L, H_a = ln 2L, and
         NMI = ln L/(ln L + ln(2)/2) < 1, though each group is pure.
      4. Chance is not 0. For n independent pairs 2nI is about χ² with (A - 1)(B - 1) degrees of
         freedom: its mean. Therefore compare only at equal k and n.
""")


def entropy(p):
    """-Σ p ln p, nats, of shares p of any shape; 0 ln 0 = 0."""
    return -(p[p > 0] * np.log(p[p > 0])).sum()


def information(a, b):
    """(I, H_a, H_b) in nats, of two labellings (n,)."""
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1 / len(a))
    h_a, h_b = entropy(table.sum(axis=1)), entropy(table.sum(axis=0))
    return h_a + h_b - entropy(table), h_a, h_b


def nmi(a, b):
    """Normalised mutual information of two labellings, 0 to 1."""
    shared, h_a, h_b = information(a, b)
    return shared / ((h_a + h_b) / 2)


c = np.repeat(np.arange(10), 60)
lesson.check("NMI of renamed classes", nmi(rng.permutation(10)[c], c), 1.0)
lesson.check("NMI of independent labellings", nmi(c, np.tile(np.arange(6), 100)), 0.0)
lesson.check("NMI of classes cut in two", nmi(2 * c + np.tile([0, 1], 300), c),
             math.log(10) / (math.log(10) + LN2 / 2))
chance = [2 * 600 * information(rng.integers(0, 4, 600), rng.integers(0, 3, 600))[0]
          for _ in range(1000)]
lesson.check("2nI by chance, 4 groups and 3 classes", np.mean(chance), 6.0, "monte-carlo",
             n=1000, standard_error=math.sqrt(2 * 6 / 1000))

# %% ... three blobs, two labels
lesson.step("""
    Three blobs, and labels that cut each blob in two
      1. The label says whether a point lies above the middle of its blob: independent of the blob.
      2. k-means finds the blobs: NMI with the blobs 1, with the labels about 0.
      3. k-NN finds the labels. Shuffle them, and it is at a loss, while k-means has not noticed.
""")
middles = np.array([[0.0, 0.0], [4.0, 0.0], [2.0, 3.4]])
blob = np.repeat(np.arange(3), 200)


def cut_blobs():
    """600 points in three blobs, and whether each lies above the middle of its own."""
    off = 0.55 * rng.standard_normal((600, 2)).clip(-2.5, 2.5)
    return middles[blob] + off, (off[:, 1] > 0).astype(int)


cloud, above = cut_blobs()
found = best_groups(cloud, 3)
by_neighbours = vote(above[neighbours(cloud, cloud, 5, themselves=True)])
shuffled = rng.permutation(above)
by_shuffled = vote(shuffled[neighbours(cloud, cloud, 5, themselves=True)])
chance = 2 / (2 * 600) / ((math.log(3) + LN2) / 2)  # (3 - 1)(2 - 1) = 2 degrees of freedom
lesson.say(f"""
    NMI of k-means with the blobs {nmi(found, blob):.3f}, with the labels {nmi(found, above):.4f}
    (chance {chance:.4f}). 5-NN names {(by_neighbours == above).mean():.1%} of the labels right, and
    {(by_shuffled == shuffled).mean():.1%} of shuffled ones.
""")
lesson.check("k-means finds the blobs: NMI", nmi(found, blob), 1.0)
again = [(best_groups(z, 3), labels) for z, labels in (cut_blobs() for _ in range(30))]
lesson.check("k-means does not see the labels: 2nI, 30 clouds",
             np.mean([2 * 600 * information(*pair)[0] for pair in again]), 2.0, "monte-carlo",
             n=30, standard_error=math.sqrt(2 * 2 / 30))
lesson.check("5-NN on labels that it cannot know", (by_shuffled == shuffled).mean(), 0.5,
             "monte-carlo", n=600, standard_error=math.sqrt(0.25 / 600))
nmi_of = {view: nmi(best_groups(test, classes), images.test_labels)
          for view, (_, test) in features.items()}
lesson.say("NMI of k-means with the classes: " +
           ", ".join(f"{view} {value:.3f}" for view, value in nmi_of.items()))
expect("k-means: NMI with the classes, codes", nmi_of["codes"])
expect("k-means: NMI with the classes, pixels", nmi_of["pixels"])


def figure_of_groups():
    """The blobs as k-means groups them, and as k-NN labels the plane around them."""
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 4.3), layout="constrained", sharey=True)
    low, high = cloud.min(axis=0) - 0.4, cloud.max(axis=0) + 0.4
    x, y = np.meshgrid(np.linspace(low[0], high[0], 160), np.linspace(low[1], high[1], 140))
    plane = above[neighbours(np.stack([x.ravel(), y.ravel()], axis=1), cloud, 5)]
    axes[1].contourf(x, y, vote(plane).reshape(x.shape), levels=[-0.5, 0.5, 1.5],
                     colors=[REAL, FAKE], alpha=0.22)
    for j, color in enumerate(("#542788", "#e08214", "#1b7837")):
        axes[0].plot(*cloud[found == j].T, "o", ms=3, color=color)
    for j, color in enumerate((REAL, FAKE)):
        axes[1].plot(*cloud[above == j].T, "o", ms=3, color=color)
    axes[0].set_title("k-means: no labels, three groups")
    axes[1].set_title("5-NN: two labels, no groups")
    for ax in axes:
        ax.set(xticks=[], yticks=[], aspect="equal", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    lesson.figure(fig, "groups")


figure_of_groups()

# %% Step 7: search
lesson.step("""
    7. Search by image
    Show an image, get the nearest of the archive. Near in pixels means: ink at the same places.
      1. Precision at k: the share of the k first that are of the query's class, a mean over the
         queries. For it the archive must not hold the query itself.
      2. By chance a query of class c meets (n_c - 1) others of it among n - 1. Over all queries:
         Σ_c n_c (n_c - 1)/(n (n - 1)): the number that a search must beat.
""")


def precision_at(k, query_labels, found_labels):
    """The share of the first k found (q, >= k) with their query's label (q,)."""
    return (found_labels[:, :k] == query_labels[:, None]).mean()


c = np.repeat([0, 1, 2], [10, 30, 60])
by_chance = [precision_at(5, c, c[neighbours(z, z, 5, themselves=True)])
             for z in rng.standard_normal((400, 100, 2))]
sizes = np.bincount(c)
lesson.check("precision at 5 of codes that mean nothing", np.mean(by_chance),
             (sizes * (sizes - 1)).sum() / (100 * 99), "monte-carlo", n=400,
             standard_error=np.std(by_chance) / 20)
lesson.check("precision at 3, by hand", precision_at(3, np.array([1, 2]), np.array(
    [[1, 0, 1, 2], [0, 0, 2, 2]])), (2 / 3 + 1 / 3) / 2)

nearest = {view: neighbours(test, train, 10) for view, (train, test) in features.items()}
precision = {view: precision_at(10, images.test_labels, images.train_labels[found_])
             for view, found_ in nearest.items()}
lesson.say("precision at 10: " + ", ".join(f"{v} {p:.1%}" for v, p in precision.items()))
expect("search: precision at 10, codes over pixels", precision["codes"] / precision["pixels"])


def figure_of_search():
    """Queries, and what either view finds: a red frame is another class."""
    fig, axes = plt.subplots(1, 2, figsize=(12, 5.6), layout="constrained")
    wrong = (images.train_labels[nearest["pixels"]] != images.test_labels[:, None]).sum(axis=1)
    hard = [rng.choice(np.flatnonzero((images.test_labels == c) & (wrong >= 2)))
            if ((images.test_labels == c) & (wrong >= 2)).any() else
            np.flatnonzero(images.test_labels == c)[0] for c in range(min(classes, 8))]
    pitch = images.test.shape[-1] + 1
    gap = np.full_like(images.test[:1], images.test.shape[1] == 3)  # white paper, either way
    for ax, view in zip(axes, ("pixels", "codes")):
        rows = [np.concatenate([images.test[q:q + 1], gap,
                                images.train[nearest[view][q, :9]]]) for q in hard]
        show(ax, np.concatenate(rows), 11, f"query | nearest by {view}")
        for i, q in enumerate(hard):
            for j in np.flatnonzero(images.train_labels[nearest[view][q, :9]]
                                    != images.test_labels[q]):
                corner = ((j + 2) * pitch, i * pitch)
                ax.add_patch(plt.Rectangle(corner, pitch - 3, pitch - 3, fill=False, lw=1.5,
                                           ec=FAKE, clip_on=False))
    lesson.figure(fig, "search")


figure_of_search()

# %% Step 8: outliers
lesson.step("""
    8. Outliers: what does not belong
    A score s says how strange an image looks; above some threshold we sound the alarm.
      1. Each threshold has a share of alarms among outliers, and one among normal images. All
         thresholds together draw the ROC curve, from (0, 0) to (1, 1).
      2. Lower the threshold past one normal image: a step right, by 1/n. The height is then the
         share of outliers above it. So the area is the share of pairs (normal, outlier) in which
         the outlier scores higher. A tie moves both at once, a diagonal: it counts one half.
      3. AUROC = P(s_out > s_in) + 1/2 P(s_out = s_in) = U/(n m), U of Mann and Whitney:
         U = (sum of the outliers' ranks among all) - m(m + 1)/2, tied ranks averaged.
      4. Always the same score: 1/2. N(0, 1) against N(δ, 1): Φ(δ/√2), as s_out - s_in ~ N(δ, 2).
""")


def auroc(inside, outside):
    """P(an outlier scores higher than a normal point), ties half: by Mann and Whitney's ranks."""
    _, where, counts = np.unique(np.concatenate([inside, outside]), return_inverse=True,
                                 return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2)[where]
    u = ranks[len(inside):].sum() - len(outside) * (len(outside) + 1) / 2
    return u / (len(inside) * len(outside))


def roc(inside, outside):
    """The curve: shares of normal points and of outliers at or above each threshold, falling."""
    thresholds = np.concatenate([[np.inf], np.unique(np.concatenate([inside, outside]))[::-1]])
    return tuple(1 - np.searchsorted(np.sort(s), thresholds, side="left") / len(s)
                 for s in (inside, outside))


inside, outside = rng.integers(0, 8, 60), rng.integers(2, 10, 45)  # many ties
pairs = [(a < b) + (a == b) / 2 for a in inside for b in outside]
false_alarms, alarms = roc(inside, outside)
area = (np.diff(false_alarms) * (alarms[1:] + alarms[:-1]) / 2).sum()
lesson.check("AUROC: ranks = all pairs, with ties", auroc(inside, outside), np.mean(pairs))
lesson.check("AUROC: ranks = area under the ROC curve", auroc(inside, outside), area)
lesson.check("AUROC of one score for all", auroc(np.zeros(60), np.zeros(45)), 0.5)
a, b = rng.standard_normal(5000), rng.standard_normal(4000) + 1
phi = Gaussian(0, 1).cdf
lesson.check("AUROC of N(0, 1) and N(1, 1): Φ(1/√2)", auroc(a, b), phi(math.sqrt(0.5)),
             "monte-carlo", n=9000,
             standard_error=math.sqrt(phi(b).var() / 4000 + phi(1 - a).var() / 5000))

# %% ... two scores
lesson.step("""
    Two scores, and what they miss
      1. The copy's error |x - x̂|². By Pythagoras PCA's is |x - m|² - |code|²: all that lies
         outside the subspace, however far within it x may lie.
      2. The distance from z to the nearest code of a training image; and the same in pixels.
      3. The first is blind to what is *simpler* than the data. An empty sheet is no digit, yet any
         autoencoder copies it better than a digit: an AUROC below 1/2, a sure sign turned round.
         The same fate meets the likelihoods of deep models (Nalisnick et al. 2019).
""")


def crops(n, seed):
    """n shapes cut out 20 x 20 around their places, and their attributes."""
    whole, attributes, _ = data.shapes(n, seed)
    top, left = (6 * k for k in np.divmod(attributes["place"], 3))  # places lie 6 pixels apart
    rows, columns = (np.arange(20) + start[:, None] for start in (top, left))
    index = np.arange(n)[:, None, None]
    return whole.transpose(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None]].transpose(
        0, 3, 1, 2), attributes


def other_drawings(like):
    """Shapes in grey where we learned from grey images, digits in white where from colours."""
    n, channels, side, _ = like.shape
    drawn = data.digits(n, lesson.seed + 1)[0] if channels == 3 else crops(n, lesson.seed + 1)[0]
    grey = drawn.mean(axis=1, keepdims=True)
    grey = grey - np.median(flat(grey), axis=1)[:, None, None, None]
    grey = (grey / flat(grey).max(axis=1)[:, None, None, None]).clip(0, 1)
    margin = (side - grey.shape[-1]) // 2
    padded = np.pad(grey, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    return padded.repeat(channels, axis=1)


normal, seed_of = images.test[1000:2000], images.test[:1000]
strange = {
    "other drawings": other_drawings(seed_of),
    "pixels shuffled": rng.permuted(flat(seed_of), axis=1).reshape(seed_of.shape),
    "mirrored on the diagonal": seed_of.transpose(0, 1, 3, 2),
    "half the ink": seed_of / 2,
    "empty": np.zeros_like(seed_of),
}


def nearest_distance(x, archive):
    """The distance of each row of x to the nearest row of the archive."""
    return np.linalg.norm(x - archive[neighbours(x, archive, 1)[:, 0]], axis=1)


SCORES = {
    "copy's error": lambda x: squared_error(mapped(lambda x: ops.sigmoid(ae(x)), x), x),
    "nearest image": lambda x: nearest_distance(flat(x), pixels),
    "nearest code": lambda x: nearest_distance(mapped(ae.encode, x), codes),
}
scores = {(score, kind): f(x) for score, f in SCORES.items()
          for kind, x in {"normal": normal, **strange}.items()}
areas = {(score, kind): auroc(scores[score, "normal"], scores[score, kind])
         for score in SCORES for kind in strange}
rows = ["AUROC" + " " * 22 + "".join(f"{score:>16}" for score in SCORES)]
for kind in strange:
    rows.append(f"  {kind:25}" + "".join(f"{areas[score, kind]:16.3f}" for score in SCORES))
lesson.say("\n".join(rows))

centred = test_pixels - pca.mean
lesson.check("PCA's error = |x - m|² - |code|²",
             squared_error(pca.decode(pca.encode(test_pixels)), test_pixels),
             (centred ** 2).sum(axis=1) - (features["PCA 32"][1] ** 2).sum(axis=1), tolerance=1e-6)
expect("outliers: shuffled pixels, nearest code", areas["nearest code", "pixels shuffled"])
expect("outliers: mirrored, nearest code", areas["nearest code", "mirrored on the diagonal"])
expect("outliers: other drawings, nearest code", areas["nearest code", "other drawings"])
expect("outliers: other drawings, copy's error", areas["copy's error", "other drawings"])
expect("outliers: empty, nearest code", areas["nearest code", "empty"])
lesson.check("outliers: empty, copy's error", areas["copy's error", "empty"], 0.0, "trained", 0.01,
             why="52 runs, on digits, shapes, MNIST: 0.000")


# %% ... a digit never seen (--full only: each needs an autoencoder of its own)
if lesson.full:
    for c in (0, 4):
        rest = images.train_labels != c
        narrow = autoencoder(images.train[rest], 4000)
        known = mapped(narrow.encode, images.train[rest])
        known_or_not = [images.test[images.test_labels != c], images.test[images.test_labels == c]]
        by_code = auroc(*(nearest_distance(mapped(narrow.encode, x), known) for x in known_or_not))
        by_error = auroc(*(squared_error(mapped(lambda x: ops.sigmoid(narrow(x)), x), x)
                           for x in known_or_not))
        lesson.say(f"{images.names[c]} left out of training: AUROC of copy's error {by_error:.3f}, "
                   f"of nearest code {by_code:.3f}")


def figure_of_outliers():
    """Each kind of outlier above its ROC curves by three scores."""
    fig, axes = plt.subplots(2, len(strange), figsize=(14, 5.3), layout="constrained",
                             height_ratios=[1, 1.9])
    colours = dict(zip(SCORES, (FAKE, REAL, LEARNED)))
    for (top, bottom), (kind, x) in zip(axes.T, strange.items()):
        show(top, x[:10], 5, kind)
        top.set_axis_on()
        top.set(xticks=[], yticks=[])
        top.spines[:].set(visible=True, color="0.7")
        for score, color in colours.items():
            curve = roc(scores[score, "normal"], scores[score, kind])
            bottom.plot(*curve, color=color, lw=1.8, label=f"{score}: {areas[score, kind]:.2f}")
        bottom.plot([0, 1], [0, 1], ":", color=THEORY, lw=1)
        bottom.set(aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=[0, 1],
                   yticks=[0, 1], xlabel="alarms, normal images")
        bottom.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), fontsize=9,
                      title="AUROC", title_fontsize=9)
    axes[1, 0].set_ylabel("alarms, outliers")
    lesson.figure(fig, "outliers")


figure_of_outliers()

# %% Step 9: walks
lesson.step("""
    9. Between two images
    Claim. A blend of pixels shows two ghosts, and how grey they are is the images' distance.
      1. How grey is an image? g(x) = mean of 4x(1 - x): 0 for black and white, 1 for all 1/2.
      2. The blend m = (a + b)/2 has  4m(1 - m) = 1/2 [4a(1 - a) + 4b(1 - b)] + (a - b)²,  since
         both sides are 2a + 2b - (a + b)². So g(m) is the mean grey of the ends, plus the mean
         of (a - b)².
      3. Along z_t = (1 - t) z_a + t z_b the decoder draws one image at each t: strokes move.
         That holds while the straight way stays where codes are, which nothing here enforces;
         a VAE's prior does (lesson 03).
""")


def greyness(x):
    """g(x) of each image."""
    return (4 * flat(x) * (1 - flat(x))).mean(axis=1)


def drawn(z):
    """The autoencoder's images of codes z (n, 32)."""
    return mapped(lambda z: ops.sigmoid(ae.decode(z)), z)


a, b = images.test[:500].astype(np.float64), images.test[500:1000].astype(np.float64)
z_a, z_b = test_codes[:500], test_codes[500:1000]
blend = greyness((a + b) / 2)
lesson.check("grey of a blend = grey of its ends + (a - b)²", blend,
             (greyness(a) + greyness(b)) / 2 + squared_error(a, b) / a[0].size)
middle = greyness(drawn((z_a + z_b) / 2))
ends = (greyness(copies[:500]) + greyness(copies[500:1000])) / 2
lesson.say(f"grey halfway: blend of pixels {blend.mean():.3f}, code {middle.mean():.3f}; "
           f"ends {ends.mean():.3f}")
expect("grey halfway, code over copies", middle.mean() / ends.mean())
expect("grey halfway, blend over images", 2 * blend.mean() / (greyness(a) + greyness(b)).mean())


def figure_of_walks():
    """The same pairs, blended in pixels and walked between in code."""
    t = np.linspace(0, 1, 9)[:, None]
    different = np.flatnonzero(images.test_labels[:500] != images.test_labels[500:1000])[:7]
    fig, axes = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    ways = {"blending pixels": [(1 - t) * flat(a)[i] + t * flat(b)[i] for i in different],
            "walking in code": [flat(drawn((1 - t) * z_a[i] + t * z_b[i])) for i in different]}
    for ax, (title, rows) in zip(axes, ways.items()):
        show(ax, np.concatenate(rows).reshape(-1, *a.shape[1:]), 9, title)
    lesson.figure(fig, "walks")


figure_of_walks()

# %% Step 10: noise in the code
lesson.step("""
    10. Noise in the code
    Claim. For small e,  |decode(z + e) - decode(z)| = |J e| + O(|e|²);  J the decoder's Jacobian.
      1. decode(z + e) = decode(z) + J e + O(|e|²): J has a row a pixel and a column a code unit.
         So |move|/|J e| - 1 must vanish like the first power of |e|.
      2. J e without J: u ↦ uJ is a walk backwards, and linear in u. A walk back through that walk
         gives its own vjp, e ↦ J e (lesson 01, exercise C). Twice a walk, for any size of J.
      3. It must agree with the other order, u·(J e) = (uJ)·e, and with a difference quotient.
      4. For e ~ N(0, s² I):  E|J e|² = s² tr(Jᵀ J) = s² Σ J_ij², the sum of its squared singular
         values. The largest of these is the direction in which the picture moves the most.
""")
twin = ConvAutoencoder(*images.train.shape[1:3], CODE, 16 if lesson.full else 8, generator=rng)
for ours, theirs in zip(twin.parameters(), ae.parameters()):
    ours.data = theirs.data.astype("float64")  # a derivative needs more digits than training


def decode(z):
    """The images of codes, both float64 Tensors: (n, 32) -> (n, pixels)."""
    return ops.sigmoid(twin.decode(z)).reshape(len(z), -1)


def decoded(z):
    """The same for arrays, and without a graph."""
    with mg.no_grad():
        return decode(mg.Tensor(z)).numpy()


def jacobian_times(z, e):
    """J e, (n, pixels), of `decode` at codes z (n, 32), for e (n, 32): two walks."""
    z = mg.Tensor(z, requires_grad=True)
    y = decode(z)
    u = mg.Tensor(np.ones(y.shape), requires_grad=True)  # any u: uJ is linear in it
    u_j, = mg.grad(y, z, u, create_graph=True)
    return mg.grad(u_j, u, mg.Tensor(e))[0].numpy()


z = test_codes[:1]
unit = codes.std(axis=0).mean()  # a code unit's own spread
e = rng.standard_normal((1, CODE))
j_e = jacobian_times(z, e)
u = rng.standard_normal(j_e.shape)
leaf = mg.Tensor(z, requires_grad=True)
u_j, = mg.grad(decode(leaf), leaf, mg.Tensor(u))
lesson.check("u·(J e) = (uJ)·e", (u * j_e).sum(), (u_j.numpy() * e).sum())
h = 1e-7
quotient = (decoded(z + h * e) - decoded(z - h * e)) / (2 * h)
lesson.check("J e = difference quotient", j_e, quotient, tolerance=1e-6)

jacobian = jacobian_times(np.repeat(z, CODE, axis=0), np.eye(CODE)).T  # (pixels, 32)
noise = 1e-3 * unit * rng.standard_normal((2000, CODE))
moved = ((decoded(z + noise) - decoded(z)) ** 2).sum(axis=1)
lesson.check("E|move|² = s² Σ J_ij², over its size", moved.mean() / (1e-3 * unit) ** 2
             / (jacobian ** 2).sum(), 1.0, "monte-carlo", n=2000,
             standard_error=moved.std() / moved.mean() / math.sqrt(2000))
gains = np.linalg.svd(jacobian, compute_uv=False)
lesson.say(f"singular values of J at one code: {gains[0]:.3f} down to {gains[-1]:.4f}; "
           f"root mean square {np.sqrt((gains ** 2).mean()):.3f}")

# %% ... from small noise to large
levels = np.geomspace(1e-3, 2, 12)
start_at = test_codes[:200]
e = unit * rng.standard_normal(start_at.shape)
still = decoded(start_at)
first_order = np.linalg.norm(jacobian_times(start_at, e), axis=1)
move, bend, kept = [], [], []
by_name = images.train_labels[neighbours(still, pixels, 3)]
for s in levels:
    image = decoded(start_at + s * e)
    size = np.linalg.norm(image - still, axis=1)
    move.append(size.mean())
    bend.append(np.abs(size / (s * first_order) - 1).mean())
    kept.append((vote(images.train_labels[neighbours(image, pixels, 3)]) == vote(by_name)).mean())
half = levels[np.flatnonzero(np.array(kept) > 0.9).max()]
lesson.say(f"noise of {half:.2f} of a code's own spread leaves nine images of ten in their class")
order = math.log(bend[3] / bend[0]) / math.log(levels[3] / levels[0])
expect("|move|/|J e| - 1 goes like |e| to the power", order)


def figure_of_noise():
    """How far images move with noise in the code, and what they look like."""
    fig, axes = plt.subplots(1, 3, figsize=(14, 4.3), layout="constrained",
                             width_ratios=[1, 1, 1.35])
    axes[0].plot(levels, move, "o", ms=4, color=LEARNED, label="|decode(z + e) − decode(z)|")
    axes[0].plot(levels, levels * first_order.mean(), color=THEORY, lw=1.2, label="|J e|")
    axes[0].set(xscale="log", yscale="log", xlabel="noise, in a code unit's spread",
                ylabel="change of the image")
    axes[0].set_title("First order, and where it ends")
    axes[0].legend()
    axes[1].plot(levels, kept, "o-", ms=4, color=LEARNED)
    axes[1].axhline(1 / classes, color=THEORY, ls=":", lw=1)
    axes[1].text(levels[0], 1 / classes + 0.02, "chance", color=THEORY)
    axes[1].set(xscale="log", ylim=(0, 1.02), xlabel="noise, in a code unit's spread",
                ylabel="share still in its class")
    axes[1].set_title("How much noise a class survives")
    steps = [0, 0.25, 0.5, 0.75, 1, 1.5, 2]
    rows = [drawn(start_at[i] + np.array(steps)[:, None] * e[i]) for i in range(6)]
    show(axes[2], np.concatenate(rows), len(steps), "noise 0, ¼, ½, ¾, 1, 1½, 2")
    lesson.figure(fig, "noise")


figure_of_noise()

# %% Step 11: attribute vectors
lesson.step("""
    11. Attribute vectors: the smile, on shapes
    Claim. v = avg(with) - avg(without) points from images without an attribute to those with it.
      1. Let codes be additive:  z = z0 + a v + rest, with a = 1 for "with", and the rest alike in
         both groups on average. Then avg(with) - avg(without) = v.
      2. If the rest is not alike - all faces that smile are women's, say - v gets that, too:
         v' = v + avg(rest | with) - avg(rest | without). Balance the groups (White 2016).
      3. "avg(with) - avg(all)" is a common slip. With the share p of images that have it,
         avg(all) = p avg(with) + (1 - p) avg(without), so
         avg(with) - avg(all) = (1 - p) [avg(with) - avg(without)]:  v, shrunk by exactly 1 - p.
      4. In pixels there is a v as well: a cloud of ink. Whether codes are additive is no theorem.
         Here we measure it, by two judges that have seen real images only. One reason for doubt:
         the kinds look much alike when small. A code can hardly keep, through an addition, what
         is ten pixels' difference before and a hundred after.
    The VAE works on the shapes' first 150 principal components: its distances are the pixels', as
    the rows are orthonormal, and what lies outside is a constant that nothing can change.
""")
SIDE, LATENT = 20, 12
shape_images, attributes = crops(12_000 if lesson.full else 6_000, lesson.seed)
fresh, fresh_attributes = crops(2_000, lesson.seed + 1)
front = PCA.fit(flat(shape_images), 150)
inputs = front.encode(flat(shape_images)).astype(np.float32)


def stack(*widths):
    """Linear layers, SiLU between them."""
    layers = [layer for w, v in zip(widths, widths[1:])
              for layer in (nn.Linear(w, v, generator=rng), nn.SiLU())]
    return nn.Sequential(*layers[:-1])


vae = VAE(stack(150, 256, 128, 2 * LATENT), stack(LATENT, 128, 256, 150),
          GaussianLikelihood(0.01, learned=False))
batches = Batches([inputs], 128, rng)
fit(lambda: -vae.elbo(*next(batches), mg.randn(128, LATENT, generator=rng)) / 150, vae,
    10_000 if lesson.full else 2_200, 5e-3, "VAE of shapes")


def shape_codes(x):
    """The VAE's mean codes of shapes (n, 3, 20, 20)."""
    return mapped(lambda c: vae.encode(c)[0], front.encode(flat(x)))


def shapes_of(z):
    """The VAE's shapes of codes (n, 12)."""
    return front.decode(mapped(vae.decode, z)).reshape(-1, 3, SIDE, SIDE)


z, fresh_z = shape_codes(shape_images), shape_codes(fresh)
inside_plane = front.encode(flat(fresh))
outside_plane = squared_error(front.decode(inside_plane), fresh)
guess = mapped(vae.decode, fresh_z)
lesson.check("|x - x̂|² = error in 150 components + what lies outside",
             squared_error(front.decode(guess), fresh),
             ((guess - inside_plane) ** 2).sum(axis=1) + outside_plane, tolerance=1e-6)


def difference(values, has, has_not):
    """avg(with) - avg(without)."""
    return values[has].mean(axis=0) - values[has_not].mean(axis=0)


for name, has in (("blue", attributes["colour"] == 4), ("large", attributes["size"] == 2)):
    from_all = z[has].mean(axis=0) - z.mean(axis=0)
    lesson.check(f"{name}: avg(with) - avg(all) = (1 - p) v", from_all,
                 (1 - has.mean()) * difference(z, has, ~has))

# %% ... and two judges
lesson.step("""
    Two judges
    Each is a probe on what a ruler and a colour chart would read off an image: the mean colour of
    the ink; its width, height and area. They are fitted to real images, and are first judged
    themselves: on real images that they have not seen.
""")


def ink(x):
    """How far each pixel is from the background, over the farthest: (n, 20, 20), 0 to 1."""
    background = np.median(x.reshape(len(x), 3, -1), axis=2)[:, :, None, None]
    far = np.linalg.norm(x - background, axis=1)
    return far / far.max(axis=(1, 2), keepdims=True)


def colour_of(x):
    """The ink's mean colour, (n, 3), its largest part 1."""
    weight = ink(x) ** 2
    mean = np.einsum("nchw,nhw->nc", x, weight) / weight.sum(axis=(1, 2))[:, None]
    return mean / mean.max(axis=1, keepdims=True)


def extent_of(x):
    """The ink's width, height, and root of its area, in pixels: (n, 3)."""
    here = ((ink(x) - 0.2) / 0.6).clip(0, 1)
    return np.stack([here.max(axis=1).sum(axis=1), here.max(axis=2).sum(axis=1),
                     np.sqrt(here.sum(axis=(1, 2)))], axis=1)


by_colour = Probe.fit(colour_of(shape_images), attributes["colour"], 1e-4)
by_size = Probe.fit(extent_of(shape_images), attributes["size"], 1e-4)
lesson.say(f"on fresh images the judges are right on "
           f"{by_colour.accuracy(colour_of(fresh), fresh_attributes['colour']):.1%} (colour) and "
           f"{by_size.accuracy(extent_of(fresh), fresh_attributes['size']):.1%} (size); on copies "
           f"{by_colour.accuracy(colour_of(shapes_of(fresh_z)), fresh_attributes['colour']):.1%} "
           f"and {by_size.accuracy(extent_of(shapes_of(fresh_z)), fresh_attributes['size']):.1%}")


def changed(name, old, new, step=1.0):
    """Fresh images with attribute `old`, their codes moved by step v towards `new`: the images,
    and the attributes of the originals."""
    v = difference(z, attributes[name] == new, attributes[name] == old)
    mine = fresh_attributes[name] == old
    return shapes_of(fresh_z[mine] + step * v), fresh_attributes[mine]


def verdict(image, was, name, new):
    """(share that got the new attribute, share that kept the other one)."""
    colour, size = by_colour.predict(colour_of(image)), by_size.predict(extent_of(image))
    got, other = (colour, size == was["size"]) if name == "colour" else (size,
                                                                         colour == was["colour"])
    return (got == new).mean(), other.mean()


swaps = [(old, new) for old in range(6) for new in range(6) if old != new]
recoloured = np.mean([verdict(*changed("colour", old, new), "colour", new) for old, new in swaps],
                     axis=0)
enlarged = verdict(*changed("size", 0, 2), "size", 2)
p = (attributes["size"] == 2).sum() / (attributes["size"] != 1).sum()  # large, of small and large
by_all = verdict(*changed("size", 0, 2, step=1 - p), "size", 2)
shrunk = verdict(*changed("size", 2, 0), "size", 0)


def recoloured_in_pixels(old, new):
    """The same arithmetic on pixels."""
    v = difference(shape_images, attributes["colour"] == new, attributes["colour"] == old)
    mine = fresh_attributes["colour"] == old
    return verdict((fresh[mine] + v).clip(0, 1), fresh_attributes[mine], "colour", new)


in_pixels = np.mean([recoloured_in_pixels(old, new) for old, new in swaps], axis=0)
lesson.say(f"""
    changed as asked, and the other attribute kept:
      any colour to any other, codes      {recoloured[0]:6.1%}  {recoloured[1]:6.1%}
      any colour to any other, pixels     {in_pixels[0]:6.1%}  {in_pixels[1]:6.1%}
      small to large                      {enlarged[0]:6.1%}  {enlarged[1]:6.1%}
      ... with avg(all), so (1 - p) v     {by_all[0]:6.1%}  {by_all[1]:6.1%}
      large to small                      {shrunk[0]:6.1%}  {shrunk[1]:6.1%}
""")
expect("attribute: any colour to any other", recoloured[0])
expect("attribute: small to large", enlarged[0])
expect("attribute: small to large, with avg(all)", by_all[0])
expect("attribute: large to small", shrunk[0])
expect("attribute: any colour to any other, on pixels", in_pixels[0])


def figure_of_attributes():
    """Shapes in every colour, and growing; and how the success depends on the step."""
    fig, axes = plt.subplots(1, 3, figsize=(14.5, 4.2), layout="constrained")
    grid = [np.flatnonzero((fresh_attributes["kind"] == kind) & (fresh_attributes["size"] > 0)
                           & (fresh_attributes["colour"] == kind))[0] for kind in range(6)]
    blank, rows = np.ones((1, 3, SIDE, SIDE)), []
    for q in grid:
        old = attributes["colour"] == fresh_attributes["colour"][q]
        moves = [difference(z, attributes["colour"] == new, old) for new in range(6)]
        rows += [fresh[q:q + 1], blank, shapes_of(fresh_z[q] + moves)]
    show(axes[0], np.concatenate(rows), 8, "image | towards each colour")
    steps = np.linspace(-0.6, 0.6, 6)[:, None]
    v = difference(z, attributes["size"] == 2, attributes["size"] == 0)
    medium = [np.flatnonzero((fresh_attributes["kind"] == k) & (fresh_attributes["size"] == 1))[0]
              for k in range(6)]
    rows = [x for q in medium for x in (fresh[q:q + 1], blank, shapes_of(fresh_z[q] + steps * v))]
    show(axes[1], np.concatenate(rows), 8, "image | smaller … larger")
    t = np.linspace(0, 2, 11)
    for name, old, new, color in (("colour", 0, 4, REAL), ("size", 0, 2, FAKE)):
        both = np.array([verdict(*changed(name, old, new, step), name, new) for step in t])
        word = "red to blue" if name == "colour" else "small to large"
        rest = "size kept" if name == "colour" else "colour kept"
        axes[2].plot(t, both[:, 0], "o-", ms=4, color=color, label=word)
        axes[2].plot(t, both[:, 1], ":", color=color, label=f"… {rest}")
    axes[2].axvline(0.5, color=THEORY, lw=0.8, ls="--")
    axes[2].text(0.47, 0.5, "with avg(all)", color=THEORY, fontsize=9, rotation=90, ha="right",
                 va="center")
    axes[2].set(xlabel="step t along v", ylabel="share of fresh images", ylim=(0, 1.03))
    axes[2].set_title("How far to go")
    axes[2].legend(fontsize=9)
    lesson.figure(fig, "attributes")


figure_of_attributes()

# %% Exercises
lesson.step("""
    12. Exercises
      a. Shuffle the labels of 300 images before the probe is fitted. What is its accuracy on
         new ones? Why does one run this control (Hewitt and Liang 2019)?
      b. What is the AUROC of -s? Of exp(s)? So what does AUROC not tell about a score?
      c. Put each of n points into a group of its own. What is its NMI with L equal classes?
      d. Nine of ten large shapes in a collection are red, one of ten small ones. The codes are
         additive: z = (large) v + (red) w + noise-free rest. What is avg(large) - avg(small)?
         How is v got back?
    Answers
      a. A guess: for equal classes 1 in L. If codes were so many that the probe could learn any
         labels by heart, it would show as accuracy on the *training* images only.
      b. 1 - AUROC, and the same: only the order counts. It does not say where to put the threshold,
         nor whether scores are probabilities.
      c. The point tells the class: I = ln L. H_a = ln n. NMI = 2 ln L/(ln n + ln L): not 0, though
         nothing was grouped.
      d. v + (.9 - .1) w: "large" has learned to blush. Take avg(large) - avg(small) among the red
         and among the others, and average the two: v.
""")
chosen = choose(300)
guesses = [Probe.fit(codes[chosen], rng.permutation(images.train_labels[chosen]))
           .accuracy(test_codes, images.test_labels) for _ in range(40)]
lesson.check("exercise a: accuracy after learning shuffled labels", np.mean(guesses), 1 / classes,
             "monte-carlo", n=40, standard_error=np.std(guesses, ddof=1) / math.sqrt(40))
a, b = rng.integers(0, 9, 200), rng.integers(1, 10, 150)
lesson.check("exercise b: AUROC of -s", auroc(-a, -b), 1 - auroc(a, b))
lesson.check("exercise b: AUROC of exp(s)", auroc(np.exp(a), np.exp(b)), auroc(a, b))
c = np.repeat(np.arange(10), 60)
lesson.check("exercise c: NMI of 600 groups of one", nmi(np.arange(600), c),
             2 * math.log(10) / (math.log(600) + math.log(10)))
v, w = rng.standard_normal((2, 5))
large, red = np.array([(1, 1)] * 9 + [(1, 0)] + [(0, 1)] + [(0, 0)] * 9, dtype=bool).T
z = np.outer(large, v) + np.outer(red, w) + 3.0
lesson.check("exercise d: avg(large) - avg(small)", difference(z, large, ~large), v + 0.8 * w)
lesson.check("exercise d: balanced", (difference(z, large & red, ~large & red)
                                      + difference(z, large & ~red, ~large & ~red)) / 2, v)

# %% The table
lesson.finish()
