"""02. Autoencoders: what a bottleneck keeps

The question. A network must copy its input through a code that is too small to hold it. What does
the code keep, what does the copy lose, and what can the code not be used for?

Derived here: the best linear code, and its error; why a linear autoencoder finds PCA's subspace but
not its components, and what L2 on the weights changes; tied weights; squared error and
cross-entropy as likelihoods that agree on their best answer; why that answer is blurred; what a
denoising autoencoder computes; codes with few nonzeros; and why one cannot sample from the code.

To have read: gradients (lesson 01), eigenvectors.

Papers: Baldi and Hornik 1989 (linear); Kunin et al. 2019, Bao et al. 2020 (L2); Vincent et al. 2008
(denoising); Daubechies et al. 2004, Olshausen and Field 1996, Makhzani and Frey 2013 (sparse);
Hinton and Salakhutdinov, Reducing the dimensionality of data with neural networks, 2006 (deep).

Notation: x has d numbers, mean m and covariance S; s_i² are the eigenvalues of S, the largest
first, u_i its eigenvectors; a code c has k numbers. W1 encodes, W2 decodes.

--data says which images. --full trains on all of them, and on MNIST repeats a published figure.
"""

# %% Setup
import itertools
import math
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from images import DATA, load, show
from lesson import FAKE, LEARNED, REAL, THEORY, Lesson
from matplotlib import patheffects

import minigen as mg
from minigen import losses, ops, optim
from minigen.densities import Gaussian, GaussianMixture
from minigen.models.autoencoder import (ConvAutoencoder, LinearAutoencoder, MLPAutoencoder,
                                        SparseAutoencoder, TiedAutoencoder, denoising_loss, l1,
                                        soft_threshold, squared_error, top_k)
from minigen.models.pca import PCA
from minigen.quadrature import integrate
from minigen.training import Batches, Checkpoint, minimise, train

lesson = Lesson("02_autoencoder", __doc__, arguments=[DATA])
rng = lesson.rng
images = load(lesson, *(60_000, 10_000) if lesson.full else (5_000, 1_000))
if lesson.args.data == "shapes":  # at half their size: 768 numbers, as a digit has 784
    halved = [a.reshape(-1, 3, 16, 2, 16, 2).mean(axis=(3, 5)) for a in (images.train, images.test)]
    images = images._replace(train=halved[0], test=halved[1])


def fit(model, loss, steps, lr, label, saved=None):
    """Adam on loss(), a new Tensor at each call; the step size falls to 0 on a straight line.

    saved: (path, state) of a checkpoint, for a training that takes minutes.
    """
    optimiser = optim.Adam(model.parameters())
    checkpoint = None
    if saved:
        checkpoint = Checkpoint(saved[0], {"model": model, "optimiser": optimiser, **saved[1]})

    def step(i):
        optimiser.lr = lr * (1 - i / steps)
        value = loss()
        minimise(value, optimiser, model)
        return {"loss": value}

    return train(step, steps, checkpoint, label)


def in_float64(model):
    """The same model with its parameters in double precision, for answers known to rounding."""
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(np.float64)
    return model


def per_point(x_hat, x):
    """|x_hat - x|² of each point: summed over its numbers."""
    return ((x_hat - x).reshape(len(x), -1) ** 2).sum(axis=1)


# %% Step 1: the best linear code
lesson.step("""
    1. The best linear code: PCA
    Claim: of all k-dimensional subspaces, that of the k leading eigenvectors loses least, and it
    loses the tail  Σ_{i>k} s_i².

      1. Decode into a plane: the mean plus a subspace with orthonormal basis U (d × k). The nearest
         point of it is  m + U Uᵀ(x − m).  So c = Uᵀ(x − m) is the best code for this plane.
      2. Pythagoras:  |x − x_hat|² = |x − m|² − |Uᵀ(x − m)|²,  on average  tr S − tr UᵀSU.
      3. In the eigenvectors' basis  tr UᵀSU = Σ_i s_i² p_i  with  p_i = |Uᵀu_i|²,  where
         0 <= p_i <= 1 and Σ p_i = k: k shares to hand out, at most one to each eigenvector. Best:
         p = 1 for the k largest. What is lost is Σ s_i² (1 − p_i), the tail (Ky Fan 1949).
      4. Around another point b than the mean, the loss grows by |(I − UUᵀ)(m − b)|²: centre first.
      5. On new points, with their mean m' and covariance S', P = UUᵀ and Q = I − P:
         the error is  tr Q S' + |Q(m' − m)|².  That is at least the tail of S' itself, whose own
         best plane is a little different: a fitted plane flatters the data it was fitted to.
""")
d, k, n = 8, 3, 1000
variances = np.array([6, 4, 2.5, 1, 0.6, 0.4, 0.3, 0.2])
axes_of_s, _ = np.linalg.qr(rng.standard_normal((d, d)))
true_mean = np.full(d, 0.5)


def draw_points(count):
    """Gaussian points with covariance S = axes diag(variances) axesᵀ."""
    return true_mean + rng.standard_normal((count, d)) * np.sqrt(variances) @ axes_of_s.T


x, x_new = draw_points(n), draw_points(100_000)
pca = PCA.fit(x, k)
_, singular, right = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
projector = pca.components.T @ pca.components
lesson.check("PCA = the singular vectors of the centred data", projector, right[:k].T @ right[:k])
lesson.check("eigenvalues = singular values²/n", pca.eigenvalues, singular**2 / n)
lesson.check("PCA's error on its data = the tail",
             per_point(pca.decode(pca.encode(x)), x).mean(), singular[k:] @ singular[k:] / n)

lost = np.eye(d) - projector
shift = lost @ (x_new.mean(axis=0) - pca.mean)
errors_new = per_point(pca.decode(pca.encode(x_new)), x_new)
lesson.check("PCA's error on new points = tr Q S' + |Q(m' − m)|²", errors_new.mean(),
             np.trace(lost @ np.cov(x_new.T, bias=True)) + shift @ shift)
true_covariance = axes_of_s * variances @ axes_of_s.T
expected = np.trace(lost @ true_covariance) + np.sum((lost @ (true_mean - pca.mean)) ** 2)
lesson.check("... and in expectation", errors_new.mean(), expected, "monte-carlo",
             n=len(x_new), standard_error=errors_new.std() / math.sqrt(len(x_new)))
lesson.say(f"""
    the tail: {pca.tail:.4f} on the {n} points fitted; {variances[k:].sum():.4f} of the true S;
    new points lose {errors_new.mean():.4f} in the fitted plane, {PCA.fit(x_new, k).tail:.4f} in \
their own""")


# %% Step 2: a linear autoencoder
lesson.step("""
    2. A linear autoencoder learns PCA's subspace, not PCA
    Claim: trained W2 spans u_1 ... u_k; but its columns are no eigenvectors, nor orthogonal.

      1. x_hat = W2(W1 x + b1) + b2 is an affine map of rank k. By step 1 the best one projects on
         the plane of the leading eigenvectors. Its loss has no other minima, only saddles (Baldi
         and Hornik 1989), so that descent arrives.
      2. But the loss sees only the product W2 W1, the projector UUᵀ at best. For any invertible A
         (W2 A)(A⁻¹ W1) = W2 W1:  k² numbers are left to chance, and to the seed.
      3. So compare planes, not columns: the cosines of the principal angles between two planes are
         the singular values of QᵀU, with orthonormal bases Q and U.
""")


def largest_angle(a, b):
    """The largest principal angle between the column spaces of a and b, in radians.

    By its sine, |(I − UUᵀ)Q|: near 0 a cosine is 1 to rounding for angles as large as 1e-8.
    """
    q, u = np.linalg.qr(a)[0], np.linalg.qr(b)[0]
    return math.asin(min(1.0, np.linalg.norm(q - u @ (u.T @ q), 2)))


points = mg.Tensor(x)
linear, angles_by_step = [], []
for seed in range(5):
    model = in_float64(LinearAutoencoder(d, k, np.random.default_rng([lesson.seed, seed])))
    trace = []

    def loss_and_angle():
        trace.append(largest_angle(model.decoder.weight.numpy(), pca.components.T))
        return squared_error(model(points), points)

    fit(model, loss_and_angle, 1000, 0.1, f"linear autoencoder {seed}")
    linear.append(model)
    angles_by_step.append(trace)

CONVERGED = dict(kind="trained", tolerance=1e-6,
                 why="converges geometrically: under 3e-8 in 100 runs")
planes = [model.decoder.weight.numpy() for model in linear]
lesson.check("largest angle between an autoencoder's plane and PCA's",
             max(largest_angle(w2, pca.components.T) for w2 in planes), 0.0, **CONVERGED)
lesson.check("the autoencoders' error = the tail",
             [squared_error(model(points), points).item() for model in linear], pca.tail,
             **CONVERGED)
new_errors = [squared_error(model(mg.Tensor(x_new)), mg.Tensor(x_new)).item() for model in linear]
lesson.check("their error on new points = PCA's", new_errors, errors_new.mean(), **CONVERGED)

lesson.check("W2 W1 of each seed = the projector U Uᵀ",
             [model.decoder.weight.numpy() @ model.encoder.weight.numpy() for model in linear],
             np.stack([projector] * len(linear)), **CONVERGED)


def are_components(w2):
    """Does each column of W2 lie within 5 degrees of one of PCA's components?"""
    cosines = np.abs(pca.components @ w2) / np.linalg.norm(w2, axis=0)
    return bool((cosines.max(axis=0) > math.cos(math.radians(5))).all())


lesson.check("seeds of which the columns of W2 are components", sum(map(are_components, planes)), 0,
             "trained", 0.0, why="21 runs of 5: never one")
columns = [w2 / np.linalg.norm(w2, axis=0) for w2 in planes]
nearest = np.degrees([np.arccos(np.abs(pca.components @ c).max(axis=0)) for c in columns])
skew = np.degrees([np.arccos(np.abs(c.T @ c)[np.triu_indices(k, 1)]) for c in columns])
lesson.say(f"""
    columns of W2: {nearest.min():.0f} to {nearest.max():.0f} degrees from the nearest component,
    and {skew.min():.0f} to {skew.max():.0f} degrees from one another, over {len(linear)} seeds""")


# %% Step 3: L2 on the weights
lesson.step("""
    3. L2 on both weights: the components come back
    Claim: with the loss  E|x − W2 W1 x|² + λ(|W1|² + |W2|²)  on centred data,  W1 = W2ᵀ,  its
    singular values are  sqrt(1 − λ/s_i²),  and its singular vectors are PCA's components.

      1. Of all factors of one M = W2 W1 the shortest have  |W1|² + |W2|² = 2 Σ_j μ_j,  μ_j being
         the singular values of M: it pays to give each factor the root of them.
      2. The best M has the eigenvectors of S (Kunin et al. 2019). In the direction u_i it costs
         s_i²(1 − μ)² + 2λμ,  and the derivative  −2 s_i²(1 − μ) + 2λ  is 0 at  μ = 1 − λ/s_i².
         Where s_i² < λ the best μ is 0: that direction is not worth its penalty, and is dropped.
      3. Split evenly:  W2 = U μ^½ O,  W1 = Oᵀ μ^½ Uᵀ = W2ᵀ,  with U = (u_1 ... u_k).
      4. O may still be any rotation, since a rotation changes no length. So the columns are no
         components yet: those are the left singular vectors of W2, and now one can tell them apart.
      5. Only a λ_j of its own for each unit fixes O too. Then column j is u_j, of the length
         sqrt(1 − λ_j/s_j²), the least λ_j with the largest s_j (Bao et al. 2020).
    Here the loss is a mean over points, and s_i² an eigenvalue of S. With a sum over points, s_i²
    is n times that, a squared singular value of the data: the formula is the same.
""")
centred = mg.Tensor(x - pca.mean)


def weight_decay(model, strength):
    """Σ_j λ_j (|row j of W1|² + |column j of W2|²); strength: one λ, or a λ_j for each unit."""
    w1, w2 = model.encoder.weight, model.decoder.weight
    return (strength * ((w1 * w1).sum(axis=1) + (w2 * w2).sum(axis=0))).sum()


def decayed(units, strength, steps, lr, label):
    """A linear autoencoder of the centred points under weight decay: its W1 and W2."""
    model = in_float64(LinearAutoencoder(d, units, rng))
    fit(model, lambda: squared_error(model(centred), centred) + weight_decay(model, strength),
        steps, lr, label)
    return model.encoder.weight.numpy(), model.decoder.weight.numpy()


same = 1.5  # between s_4² and s_3²
w1, w2 = decayed(4, same, 1000, 0.1, "one λ")
left, found, _ = np.linalg.svd(w2, full_matrices=False)
lesson.check("one λ: W1 = W2ᵀ", w1, w2.T, **CONVERGED)
lesson.check("one λ: singular values sqrt(1 − λ/s_i²), and 0 for s_i² < λ", found,
             np.sqrt(np.maximum(0.0, 1 - same / pca.eigenvalues[:4])), **CONVERGED)
lesson.check("one λ: left singular vectors of W2 = the components, up to sign",
             np.abs(left[:, :3].T @ pca.components.T), np.eye(3), **CONVERGED)
lesson.check("one λ: the columns are components (1) or still rotated (0)", are_components(w2), 0,
             "trained", 0.0, why="21 runs: always rotated")

each = np.array([0.1, 0.8, 1.7])
_, w2_each = decayed(3, mg.Tensor(each), 2000, 0.2, "a λ for each unit")
lengths = np.linalg.norm(w2_each, axis=0)
lesson.check("a λ for each unit: columns of W2 = the components, up to sign",
             np.abs(pca.components @ w2_each / lengths), np.eye(3), **CONVERGED)
lesson.check("a λ for each unit: lengths sqrt(1 − λ_j/s_j²)", lengths,
             np.sqrt(1 - each / pca.eigenvalues[:3]), **CONVERGED)


# %% ... drawn
def figure_of_subspaces():
    """In 3-D: PCA's plane and an autoencoder's columns. The angle along training. Who is whom."""
    fig = plt.figure(figsize=(12, 7), layout="constrained")
    grid = fig.add_gridspec(2, 6, height_ratios=[1.6, 1])
    draw_plane(fig.add_subplot(grid[0, :3], projection="3d"))
    ax = fig.add_subplot(grid[0, 3:])
    for i, trace in enumerate(angles_by_step):
        ax.semilogy(np.maximum(trace, 1e-15), color=LEARNED, lw=1, alpha=0.7,
                    label="5 seeds" if i == 0 else None)
    ax.set(xlabel="step", ylabel="radians")
    ax.set_title("Largest angle between an autoencoder's plane and PCA's")
    ax.legend()
    matrices = [("no L2", columns[0]), ("one λ", w2 / np.linalg.norm(w2, axis=0)),
                ("one λ a unit", w2_each / lengths)]
    for i, (name, w) in enumerate(matrices):
        draw_cosines(fig.add_subplot(grid[1, 2 * i:2 * i + 2]), np.abs(pca.components @ w), name)
    lesson.figure(fig, "subspace")


def draw_plane(ax):
    """A flat cloud in 3-D, the plane of its two components, and columns that span the same one."""
    tilt = np.linalg.qr(np.array([[1.0, 0.1, 0.2], [-0.1, 1.0, 0.1], [0.3, 0.2, 1.0]]))[0]
    cloud = rng.standard_normal((500, 3)) * [2.0, 1.2, 0.25] @ tilt.T
    flat_pca = PCA.fit(cloud, 2)
    model = in_float64(LinearAutoencoder(3, 2, rng))
    inside = mg.Tensor(cloud)
    fit(model, lambda: squared_error(model(inside), inside), 400, 0.1, "a plane in 3-D")
    ax.scatter(*cloud.T, s=7, color=THEORY, alpha=0.6, lw=0)
    square = flat_pca.decode(np.array([[-4, -2.8], [-4, 2.8], [4, 2.8], [4, -2.8]]))
    ax.plot_trisurf(*square.T, triangles=[[0, 1, 2], [0, 2, 3]], color=REAL, alpha=0.15, lw=0)
    unit_columns = model.decoder.weight.numpy().T
    unit_columns = unit_columns / np.linalg.norm(unit_columns, axis=1, keepdims=True)
    for arrows, color, name in ((3 * flat_pca.components, REAL, "PCA's components"),
                                (3 * unit_columns, FAKE, "an autoencoder's columns")):
        for i, arrow in enumerate(arrows):
            ax.quiver(*flat_pca.mean, *arrow, color=color, lw=2.5, arrow_length_ratio=0.12,
                      label=name if i == 0 else None)
    ax.set(xlim=(-4, 4), ylim=(-4, 4), zlim=(-4, 4))
    ax.set_box_aspect((1, 1, 1), zoom=1.4)
    ax.set_axis_off()
    ax.view_init(38, -62)
    ax.set_title("One plane, other axes")
    ax.legend(loc="lower center")


def draw_cosines(ax, cosines, name):
    ax.imshow(cosines, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(cosines):
        ax.text(column, row, f"{value:.2f}", ha="center", va="center",
                color="white" if value > 0.6 else THEORY)
    ax.set_xticks(range(cosines.shape[1]), [f"$w_{j + 1}$" for j in range(cosines.shape[1])])
    ax.set_yticks(range(3), ["$u_1$", "$u_2$", "$u_3$"])
    ax.set_title(f"|cos| of columns and components, {name}", fontsize="small")
    ax.spines[:].set_visible(False)


figure_of_subspaces()


# %% Step 4: tied weights
lesson.step("""
    4. Tied weights: the gradients add
    Claim: if the decoder uses W1ᵀ in the place of W2, the gradient of W is G1 + G2ᵀ, where G1 and
    G2 are the gradients that W1 and W2 would have had as separate weights.

      1. L(W) = ℓ(W1, W2) at W1 = W, W2 = Wᵀ. A change dW changes both:
         dL = <G1, dW> + <G2, dWᵀ> = <G1 + G2ᵀ, dW>.
      2. Half as many weights, and step 3 says that little is lost: the best W2 is W1ᵀ anyway.
      3. The best WᵀW is the projector UUᵀ, so the k rows of W are orthonormal:  W Wᵀ = I. What L2
         did to the scale, tying does by itself. The rotation O stays free.
""")
tied = in_float64(TiedAutoencoder(d, k, generator=rng))
split = in_float64(LinearAutoencoder(d, k, rng))
w = tied.layers[0].weight
split.load_state_dict({"encoder.weight": w.numpy(), "encoder.bias": tied.layers[0].bias.numpy(),
                       "decoder.weight": w.numpy().T, "decoder.bias": tied.back[0].numpy()})
g, = mg.grad(squared_error(tied(points), points), [w])
g1, g2 = mg.grad(squared_error(split(points), points), [split.encoder.weight, split.decoder.weight])
lesson.check("tied weights: gradient = G1 + G2ᵀ", g, g1.numpy() + g2.numpy().T)
fit(tied, lambda: squared_error(tied(points), points), 1000, 0.1, "tied autoencoder")
w = tied.layers[0].weight.numpy()
lesson.check("tied weights, trained: W Wᵀ = I", w @ w.T, np.eye(k), **CONVERGED)
lesson.check("tied weights, trained: error = the tail",
             squared_error(tied(points), points).item(), pca.tail, **CONVERGED)


# %% Step 5: likelihoods
lesson.step("""
    5. Squared error and cross-entropy are likelihoods, and want the same answer
    Claim: both losses are −ln p(x | x_hat) up to constants, and both are least at x_hat = E[x | c].

      1. Pixels ~ N(x_hat, σ²):  −ln p = |x − x_hat|²/(2σ²) + d/2 ln(2πσ²).  The noise is
         independent over the pixels, so their terms add: a likelihood *sums* over pixels.
      2. Pixels ~ Bernoulli(x_hat), x in {0, 1}:  −ln p = −Σ [x ln x_hat + (1 − x) ln(1 − x_hat)].
         `losses.mse` and `bce` take means over pixels, so d times that is the likelihood: the same
         optimum, but beside a second term (a KL in lesson 03) the factor d decides.
      3. Given the code, x still varies. Over x, with e = E[x | c]:
         E(x − x_hat)²: slope 2(x_hat − e);   BCE: slope (x_hat − e)/(x_hat(1 − x_hat)).
         Both vanish at x_hat = e, and only there. So BCE is no blurrier than MSE.
      4. They differ away from it: BCE's curvature 1/(e(1 − e)) makes errors near 0 and 1 count
         more. And for grey x in (0, 1) BCE is no likelihood, and its least value is not 0 but the
         entropy  −[x ln x + (1 − x) ln(1 − x)].
""")
sigma = 0.4
target, guess = rng.random((50, 6)), rng.random((50, 6))
log_p = Gaussian(0.0, sigma).log_pdf(target - guess).sum(axis=1)
lesson.check("−ln N(x; x_hat, σ²) = |x − x_hat|²/2σ² + d/2 ln(2πσ²)", -log_p.mean(),
             squared_error(mg.Tensor(guess), mg.Tensor(target)).item() / (2 * sigma**2)
             + 6 / 2 * math.log(2 * math.pi * sigma**2))
bits = (target > 0.5).astype(np.float64)
bernoulli = np.where(bits == 1, guess, 1 - guess).prod(axis=1)
lesson.check("−ln Bernoulli(x; x_hat) = d times losses.bce", -np.log(bernoulli).mean(),
             6 * losses.bce(mg.Tensor(guess), mg.Tensor(bits)).item())

outcomes = mg.Tensor(np.array([0.0, 0.1, 0.1, 0.5, 1.0]))  # what x may be, given one code
e = outcomes.numpy().mean()
for name, loss in (("MSE", losses.mse), ("BCE", losses.bce)):
    answer = mg.Tensor(np.full(1, e), requires_grad=True)
    slope, = mg.grad(loss(ops.broadcast_to(answer, (5,)), outcomes), [answer], create_graph=True)
    curvature, = mg.grad(slope.sum(), [answer])
    lesson.check(f"{name}: slope at E[x | c]", slope, 0.0)
    lesson.check(f"{name}: curvature there", curvature, 2.0 if name == "MSE" else 1 / (e * (1 - e)))
grey = mg.Tensor(target)
lesson.check("BCE of a perfect copy = the entropy", losses.bce(grey, grey).item(),
             -np.mean(target * np.log(target) + (1 - target) * np.log(1 - target)))

lesson.say("Train one picture for all images of a class (no code at all), once with each loss.")
some = mg.Tensor(images.train[images.train_labels == images.train_labels[0]][:300])


def one_picture(loss, label):
    """The numbers, one a pixel, that minimise a loss over all images in `some`."""
    picture = mg.nn.Module()
    picture.numbers = mg.nn.init.constant(some.shape[1:], 0.0)
    fit(picture, lambda: loss(ops.broadcast_to(picture.numbers, some.shape), some), 150, 0.3, label)
    return picture.numbers


mean_image = some.numpy().mean(axis=0)
by_mse = one_picture(losses.mse, "MSE").numpy()
by_bce = ops.sigmoid(one_picture(losses.bce_with_logits, "BCE")).numpy()
lesson.check("one picture by MSE: the mean image", by_mse, mean_image, "trained", 0.001,
             why="100 runs: .0002, sd .00002; rounded up")
lesson.check("one picture by BCE: the same", by_bce, mean_image, "trained", 0.004,
             why="100 runs: .0031 where it is white, as the logit must go to −∞")


# %% ... drawn
def figure_of_likelihoods():
    """Both losses over the answer, least at E[x | c]; and the picture that each of them wants."""
    fig, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained",
                             gridspec_kw={"width_ratios": [2, 1, 1, 1]})
    answers, x_may_be = np.linspace(0.02, 0.98, 97), outcomes.numpy()[:, None]
    axes[0].plot(answers, ((answers - x_may_be) ** 2).mean(axis=0), color=REAL, label="MSE")
    axes[0].plot(answers, -(x_may_be * np.log(answers)
                            + (1 - x_may_be) * np.log(1 - answers)).mean(axis=0), color=FAKE,
                 label="BCE")
    axes[0].axvline(e, color=THEORY, ls="--", lw=1, label="E[x | c]")
    axes[0].plot(x_may_be, np.zeros_like(x_may_be), "o", color=THEORY, alpha=0.5, clip_on=False)
    axes[0].set(xlabel="answer (dots: what x may be)", ylabel="expected loss", ylim=(0, 1.6))
    axes[0].set_title("Two losses, one best answer")
    axes[0].legend(loc="upper center")
    for ax, picture, name in zip(axes[1:], (mean_image, by_mse, by_bce),
                                 (f"mean of {len(some)} images", "best by MSE", "best by BCE")):
        show(ax, picture[None], 1, name)
    lesson.figure(fig, "likelihoods")


figure_of_likelihoods()


# %% Step 6: blur
lesson.step("""
    6. Why the answer is blurred
    Claim: where the code leaves x open, the best x_hat is the mean of what x may be, which x itself
    may never be. The loss is to blame, not the network, and not MSE against BCE.

      1. Let x be +1 or −1, a coin that the code does not know. E(x − x_hat)² = 1 + x_hat²: the
         optimum is 0 with loss 1. A sharp answer, +1 or −1, is right half of the time: loss 2.
      2. In general  E|x − x_hat|² = Var(x|c) + |x_hat − E[x|c]|²:  honest sampling from p(x|c), as
         sharp as the data, costs  2 Var(x|c),  twice the blurred mean.
      3. So the copies vary less than the data, by just the error:  Var(x) = Var(E[x|c]) +
         E[Var(x|c)].  For PCA this is step 1: the s_i² that are kept, plus the tail.
""")
coin = mg.Tensor(np.array([1.0, -1.0]))
lesson.check("target ±1: loss at 0, at +1, at −1",
             [losses.mse(mg.Tensor(np.full(2, a)), coin).item() for a in (0.0, 1.0, -1.0)],
             [1.0, 2.0, 2.0])
tosses = mg.Tensor(rng.choice([-1.0, 1.0], size=(2000, 1)))
blind = in_float64(MLPAutoencoder(1, 4, hidden=(8,), generator=rng))
nothing = mg.Tensor(np.zeros((2000, 1)))
fit(blind, lambda: losses.mse(blind(nothing), tosses), 300, 0.05, "a target that nobody can know")
answer = blind(nothing).numpy()[0, 0]
lesson.check("a trained network that cannot see the coin answers", answer, 0.0, "monte-carlo",
             n=2000, standard_error=1 / math.sqrt(2000))
lesson.check("... and has the loss 1 − answer²", losses.mse(blind(nothing), tosses).item(),
             1 - answer**2, **CONVERGED)
copies = pca.decode(pca.encode(x))
lesson.check("variance of the copies + error = variance of the data",
             copies.var(axis=0).sum() + per_point(copies, x).mean(), x.var(axis=0).sum())


# %% Step 7: denoising
lesson.step("""
    7. A denoising autoencoder computes E[x | noisy x]
    Claim: the f that minimises  E|f(x + σε) − x|²,  ε ~ N(0, I),  is  f(y) = E[x | y],  y = x + σε.
    For Gaussian x it is linear:  m + S(S + σ²I)⁻¹(y − m).

      1. For each y apart, |f(y) − x|² is averaged over what x may have been: step 5, f(y) = E[x|y].
      2. Linear f(y) = M y + b on centred data:  E|M(x + σε) − x|² = E|M x − x|² + σ²|M|².
         So noise acts as L2 on M (Bishop 1995). Slope in M:  2(M − I)S + 2σ²M = 0.  Then
         M = S(S + σ²I)⁻¹:  along u_i it keeps s_i²/(s_i² + σ²), little where noise drowns the data.
      3. A copy M = I loses σ²d: noise, not a narrow code, now forbids copying. The code may be as
         wide as x, or wider.
      4. For all x at ±1 it is no line:  p(y) = 1/2 N(1, σ²) + 1/2 N(−1, σ²),  and
         E[x|y] = P(+1|y) − P(−1|y) = tanh(y/σ²).
      5. In general  E[x|y] = y + σ² d/dy ln p(y)  (Tweedie; Robbins 1956): who can denoise knows
         the score. Diffusion models are built on this line (lesson 11).
    A common slip is to train on the noisy target: then f = identity is perfect, and learns nothing.
""")
sigma = 1.0
noise = rng.standard_normal((200, n, d))
matrix = rng.standard_normal((d, d)) / 3
c = x - pca.mean
noisy_errors = per_point((c + sigma * noise).reshape(-1, d) @ matrix.T, np.tile(c, (200, 1)))
by_draw = noisy_errors.reshape(200, n).mean(axis=1)
lesson.check("E|M(x + σε) − x|² = E|M x − x|² + σ²|M|²", by_draw.mean(),
             per_point(c @ matrix.T, c).mean() + sigma**2 * np.sum(matrix**2), "monte-carlo",
             n=200 * n, standard_error=by_draw.std() / math.sqrt(200))
wide = in_float64(LinearAutoencoder(d, d, rng))
fit(wide, lambda: denoising_loss(wide, points, sigma, rng), 1500, 0.1, "linear denoiser")
s = np.cov(x.T, bias=True)
lesson.check("a trained linear denoiser: W2 W1 = S(S + σ²I)⁻¹",
             wide.decoder.weight.numpy() @ wide.encoder.weight.numpy(),
             s @ np.linalg.inv(s + sigma**2 * np.eye(d)), "trained", 0.013,
             why="100 runs: .0066, sd .0012; + 5 sd")

sigma_pm = 0.7
y_density = GaussianMixture([0.5, 0.5], [Gaussian(-1.0, sigma_pm), Gaussian(1.0, sigma_pm)])
line = np.linspace(-4, 4, 801)
lesson.check("tanh(y/σ²) = y + σ² d/dy ln p(y)", line + sigma_pm**2 * y_density.score(line),
             np.tanh(line / sigma_pm**2))
denoiser = MLPAutoencoder(1, 16, hidden=(32,), generator=rng)


def loss_pm():
    return denoising_loss(denoiser, mg.Tensor(rng.choice([-1.0, 1.0], (256, 1)), dtype="float32"),
                          sigma_pm, rng)


fit(denoiser, loss_pm, 1000, 0.01, "denoiser of ±1")
learned_pm = denoiser(mg.Tensor(line[:, None], dtype="float32")).numpy().ravel()
weight = y_density.pdf(line) * (line[1] - line[0])
lesson.check("a trained denoiser of ±1: root mean square distance from tanh(y/σ²)",
             math.sqrt(weight @ (learned_pm - np.tanh(line / sigma_pm**2)) ** 2), 0.0, "trained",
             0.023, why="100 runs: .0106, sd .0025; + 5 sd")
best = integrate(lambda y: y_density.pdf(y) * (1 - np.tanh(y / sigma_pm**2) ** 2), -9, 9, [-1, 1])
reached = weight @ (1 - 2 * learned_pm * np.tanh(line / sigma_pm**2) + learned_pm**2)
lesson.say(f"""
    squared error on ±1 with σ = {sigma_pm}: {sigma_pm**2:.3f} as it comes, \
{sigma_pm**2 / (1 + sigma_pm**2):.3f} by the best line,
    {reached:.4f} by the trained network, {best.value:.4f} by tanh: the least possible""")


# %% ... on images
lesson.step("""
    On images
    The matrix of line 2 is the best linear denoiser; a network with one hidden layer of ReLUs,
    trained by `denoising_loss`, need not be linear. Both see the same noisy test images.
""")
train_flat = images.train.reshape(len(images.train), -1)
test_flat = images.test.reshape(len(images.test), -1)
pixels, shape = train_flat.shape[1], images.train.shape[1:]
patience = 4 if lesson.full else 1  # how much longer to train
whole = PCA.fit(train_flat, pixels)


def reconstruct(model, array):
    """The model's pixels for an array of inputs, a thousand at a time."""
    with mg.no_grad():
        parts = [ops.sigmoid(model(mg.Tensor(array[i:i + 1000]))).numpy()
                 for i in range(0, len(array), 1000)]
    return np.concatenate(parts)


image_sigma = 0.5
noisy = test_flat + image_sigma * rng.standard_normal(test_flat.shape).astype(np.float32)
kept = whole.eigenvalues / (whole.eigenvalues + image_sigma**2)
wiener = whole.decode(whole.encode(noisy) * kept)
restorer = SparseAutoencoder(pixels, 256, ops.relu, rng)
batches = Batches((train_flat,), 64, rng)
fit(restorer, lambda: denoising_loss(restorer, *next(batches), image_sigma, rng,
                                     losses.bce_with_logits),
    450 * patience, 0.01, "denoising images")
restored = reconstruct(restorer, noisy)
errors = {"noisy": per_point(noisy, test_flat).mean(),
          "linear": per_point(wiener, test_flat).mean(),
          "network": per_point(restored, test_flat).mean()}
lesson.say(f"squared error per image, σ = {image_sigma}: "
           + ", ".join(f"{name} {error:.1f}" for name, error in errors.items()))
lesson.check("the network's error beyond the best linear denoiser's",
             max(0.0, errors["network"] - errors["linear"]), 0.0, "trained", 0.0,
             why="21 runs: less by 2.1, sd .1")


# %% Step 8: sparse codes
lesson.step("""
    8. Sparse codes: many units, few of them on
    Claim: the penalty |c| sets small codes to exactly 0 and shrinks the others; top-k keeps exactly
    k, and shrinks none.

      1. One number: minimise 1/2 (c − z)² + λ|c|. For c > 0 the slope is c − z + λ: c = z − λ if
         that is positive. For c < 0: c = z + λ. In between, |z| <= λ, the kink at 0 holds: c = 0.
         This is soft thresholding, the proximal map of λ|c|.
      2. If c may not be negative: c = max(z − λ, 0). A ReLU with the bias −λ is a soft threshold.
      3. Many numbers with a dictionary D of unit atoms: 1/2 |x − D c|² + λ|c|_1. Step down the
         slope of the first term, then apply 1.:  c ← soft(c + Dᵀ(x − D c)/t, λ/t),  with t the
         largest eigenvalue of DᵀD (ISTA). At the optimum the slope |d_jᵀ(x − D c)| is λ where
         c_j != 0, and at most λ where c_j = 0.
      4. The nearest c to z with k nonzeros drops what costs least, Σ z_j² over the dropped: it
         keeps the k largest. That is top-k, the projection. Its gradient passes the kept alone.
      5. The penalty needs atoms of a fixed length. Otherwise c/10 with atoms 10 times as long gives
         the same copy for a tenth of the penalty, and λ says nothing.
""")
z, threshold = np.linspace(-2.9, 2.9, 30), 0.8
candidates = np.arange(-4000, 4001) / 1000
HALF_A_SPACING = 5.1e-4
costs = 0.5 * (candidates - z[:, None]) ** 2 + threshold * np.abs(candidates)
lesson.check("soft threshold = the best of 8001 candidates",
             soft_threshold(mg.Tensor(z), threshold), candidates[costs.argmin(axis=1)],
             tolerance=HALF_A_SPACING)
costs[:, candidates < 0] = np.inf
lesson.check("ReLU(z − λ) = the best candidate >= 0", ops.relu(mg.Tensor(z) - threshold),
             candidates[costs.argmin(axis=1)], tolerance=HALF_A_SPACING)

atoms = rng.standard_normal((10, 20))
atoms /= np.linalg.norm(atoms, axis=0)
signal, code = rng.standard_normal(10) * 2, np.zeros(20)
bound = np.linalg.eigvalsh(atoms.T @ atoms).max()
for _ in range(100_000):  # 400 to 20,000 steps are enough: some dictionaries are nearly flat
    ahead = code + atoms.T @ (signal - atoms @ code) / bound
    before, code = code, soft_threshold(mg.Tensor(ahead), threshold / bound).numpy()
    if np.abs(code - before).max() < 1e-13:
        break
slopes = atoms.T @ (signal - atoms @ code)
on = code != 0
lesson.say(f"ISTA: {on.sum()} of {len(code)} atoms on")
lesson.check("ISTA's optimum: slope λ sign(c) where c is on", slopes[on],
             threshold * np.sign(code[on]))
lesson.check("ISTA's optimum: slopes beyond λ where it is off",
             np.maximum(0.0, np.abs(slopes[~on]) - threshold), 0.0)

z = rng.standard_normal((40, 7))
sparse = top_k(mg.Tensor(z), 3).numpy()
lesson.check("top-k: nonzeros in each row", (sparse != 0).sum(axis=1), 3)
supports = [list(chosen) for chosen in itertools.combinations(range(7), 3)]
distance = [np.delete(z, chosen, axis=1) ** 2 for chosen in supports]
lesson.check("top-k = the nearest of all 35 choices", ((sparse - z) ** 2).sum(axis=1),
             np.min([part.sum(axis=1) for part in distance], axis=0))
ties = np.array([[1.0, -1.0, 1.0, 1.0, 0.5, -1.0]])
lesson.check("top-k among equals: nonzeros", (top_k(mg.Tensor(ties), 3).numpy() != 0).sum(), 3)
leaf = mg.Tensor(z, requires_grad=True)
g, = mg.grad(top_k(leaf, 3).sum(), [leaf])
lesson.check("top-k: gradient 1 where kept, else 0", g, sparse != 0)
free, unit = LinearAutoencoder(d, 20, rng), SparseAutoencoder(d, 20, ops.relu, rng)
code = mg.Tensor(rng.standard_normal((5, 20)), dtype="float32")
for model, name, want in ((free, "free atoms, 10 times as long: code/10 gives the same copy", 0.1),
                          (unit, "unit atoms: longer columns of W2 change nothing", 1.0)):
    before = model.decode(code).numpy()
    model.decoder.weight.data = 10 * model.decoder.weight.data
    lesson.check(name, model.decode(want * code), before, tolerance=1e-5)  # float32


# %% ... learned from pieces of images
lesson.step("""
    A dictionary for pieces of images
    Each piece, 12 × 12 pixels cut out at random, is to be a sum of few of 64 atoms. PCA has one set
    of components for all; a sparse code chooses anew for each.
    A unit that is never on gets no gradient, and stays off for ever. So sparsity is tightened in
    stages, from all units on (Makhzani and Frey 2013 lower k likewise).
""")


def cut_pieces(count, side=12):
    """Pieces (count, channels × side × side) of training images, from places with some contrast."""
    room = shape[1] - side + 1
    places = zip(rng.integers(0, len(images.train), 20 * count),
                 *rng.integers(0, room, (2, 20 * count)))
    pieces = (images.train[i, :, a:a + side, b:b + side].ravel() for i, a, b in places)
    return np.stack(list(itertools.islice((p for p in pieces if p.std() > 0.15), count)))


pieces, fresh = cut_pieces(10_000), cut_pieces(2_000)
piece_batches = Batches((pieces,), 256, rng)
STAGES = [(300, 0.0, 64), (300, 0.1, 30), (300, 0.3, 12), (600, 1.0, 5)]  # steps, penalty, k


def learn_dictionary(with_l1):
    """A dictionary of 64 atoms by the penalty or by top-k: the model, its codes and its error."""
    model = SparseAutoencoder(pieces.shape[1], 64, ops.relu, rng)
    for steps, penalty, active in STAGES:
        if not with_l1:
            model.activation, penalty = lambda z: top_k(z, active), 0.0

        def loss():
            piece, = next(piece_batches)
            code = model.encode(piece)
            return squared_error(model.decode(code), piece) + penalty * l1(code)

        fit(model, loss, steps * patience, 3e-3, "L1" if with_l1 else f"top-{active}")
    codes = model.encode(mg.Tensor(fresh))
    return model, codes.numpy(), per_point(model.decode(codes).numpy(), fresh).mean()


by_l1, codes_l1, error_l1 = learn_dictionary(with_l1=True)
by_top_k, codes_top_k, error_top_k = learn_dictionary(with_l1=False)
active = STAGES[-1][-1]
lesson.check("top-k on pieces of images: units on", (codes_top_k != 0).sum(axis=1), active)
piece_pca = PCA.fit(pieces, active)
error_pca = per_point(piece_pca.decode(piece_pca.encode(fresh)), fresh).mean()
lesson.say(f"""
    squared error per piece: {active} components of PCA {error_pca:.2f}; top-{active} of 64 atoms \
{error_top_k:.2f};
    L1, with {(codes_l1 != 0).sum(axis=1).mean():.1f} of 64 on, {error_l1:.2f}""")
lesson.check(f"top-{active}'s error beyond that of {active} components",
             max(0.0, error_top_k - error_pca), 0.0, "trained", 0.0,
             why="21 runs: less by 5.5, sd .1")


# %% ... drawn
def grey(atoms):
    """Atoms as images around middle grey, each scaled to its own largest number."""
    atoms = atoms.reshape(len(atoms), shape[0], 12, 12)
    return 0.5 + atoms / (2 * np.abs(atoms).max(axis=(1, 2, 3), keepdims=True))


def used(model, codes):
    """The 49 atoms that are on most often."""
    return model.atoms().numpy()[np.argsort(-(codes != 0).mean(axis=0))[:49]]


def figure_of_sparse_codes():
    fig, axes = plt.subplots(1, 4, figsize=(14, 3.8), layout="constrained")
    z = np.linspace(-3, 3, 300)
    axes[0].plot(z, z, color=THEORY, lw=0.8, ls=":", label="z itself")
    axes[0].plot(z, soft_threshold(mg.Tensor(z), 1.0).numpy(), color=FAKE, lw=2, label="soft(z, 1)")
    axes[0].plot(z, np.maximum(z - 1, 0), color=LEARNED, lw=2, ls="--", label="ReLU(z − 1)")
    axes[0].set(xlabel="z", ylabel="c", title="Small codes become 0", box_aspect=1)
    axes[0].legend(loc="upper left")
    show(axes[1], grey(PCA.fit(pieces, 49).components), 7, "PCA: 49 components")
    show(axes[2], grey(used(by_l1, codes_l1)), 7, "L1: the 49 atoms most used")
    show(axes[3], grey(used(by_top_k, codes_top_k)), 7, f"top-{active}: the 49 atoms most used")
    lesson.figure(fig, "sparse")


figure_of_sparse_codes()


# %% Step 9: images
lesson.step("""
    9. Images: a bent surface fits better than a plane
    Claim: with as many numbers in the code, an autoencoder with nonlinear layers loses less than
    PCA, the best of all linear ones (step 1).

      1. Data on a bent k-dimensional surface fill more than k dimensions: a line that is shifted by
         one pixel is another vector altogether, though one number says it. PCA must spend a
         component on each such dimension.
      2. A convolution uses one small filter at all places. The encoder halves the side twice and
         then sees all that is left at once: three convolutions. Three transposed ones lead back.
      3. 4 × 4 filters with stride 2 overlap evenly on the way up (lesson 01: no checkerboard).
      4. Few weights: layers of 4·4·channels·w, 4·4·w·2w and (side/4)²·2w·k, and biases.
    `decode` gives logits; their sigmoid is the picture. Trained with BCE, judged by squared error.
""")
code_size = 10 if lesson.args.data == "shapes" else 30  # few things vary in a shape
width = 16 if lesson.full else 8
convolutional = ConvAutoencoder(*shape[:2], code_size, width, rng)
quarter = (shape[1] // 4) ** 2
by_count = (16 * shape[0] * width + 32 * width**2 + quarter * 2 * width * code_size) * 2
by_count += width + 2 * width + code_size + 2 * width + width + shape[0]  # biases
lesson.check("weights of the convolutional autoencoder",
             sum(p.size for p in convolutional.parameters()), by_count)
image_batches = Batches((images.train,), 64, rng)


def copy_loss():
    batch, = next(image_batches)
    return losses.bce_with_logits(convolutional(batch), batch)


steps = (900 if lesson.args.data == "shapes" else 450) * patience
fit(convolutional, copy_loss, steps, 0.01, "convolutional autoencoder")
narrow = MLPAutoencoder(pixels, 2, hidden=(128, 64, 32), generator=rng)


def narrow_loss():
    batch, = next(batches)
    return losses.mse(ops.sigmoid(narrow(batch)), batch)


fit(narrow, narrow_loss, 1000 * patience, 8e-3, "autoencoder with a code of 2")
principal = {k: whole._replace(components=whole.components[:k]) for k in (2, code_size)}
copies = {
    "PCA, 2": principal[2].decode(principal[2].encode(test_flat)),
    "MLP, 2": reconstruct(narrow, test_flat),
    f"PCA, {code_size}": principal[code_size].decode(principal[code_size].encode(test_flat)),
    f"conv, {code_size}": reconstruct(convolutional, images.test),
}
loss_of = {name: per_point(copy.reshape(test_flat.shape), test_flat).mean()
           for name, copy in copies.items()}
lesson.say("squared error per test image, by code size: "
           + "; ".join(f"{name}: {loss:.1f}" for name, loss in loss_of.items()))
lesson.check("code of 2: the MLP's error beyond PCA's",
             max(0.0, loss_of["MLP, 2"] - loss_of["PCA, 2"]), 0.0, "trained", 0.0,
             why="21 runs: less by 8.2, sd .4")
lesson.check(f"code of {code_size}: the convolutional autoencoder's error beyond PCA's",
             max(0.0, loss_of[f"conv, {code_size}"] - loss_of[f"PCA, {code_size}"]), 0.0, "trained",
             0.0, why="21 runs: less by 7.2, sd .5")


# %% ... drawn
def rows(ax, named, columns, title=""):
    """Rows of images, each with its name on the left."""
    stack = [np.asarray(images).reshape(-1, *shape)[:columns] for images in named.values()]
    show(ax, np.concatenate(stack), columns, title)
    for i, name in enumerate(named):
        ax.text(-4, i * (shape[1] + 1) + shape[1] / 2, name, ha="right", va="center")


def figure_of_copies():
    fig, ax = plt.subplots(figsize=(12, 5), layout="constrained")
    rows(ax, {"test image": test_flat,
              **{f"{name}   {loss_of[name]:.1f}": copy for name, copy in copies.items()}}, 14,
         "What comes back, by kind and size of the code, and its squared error")
    lesson.figure(fig, "reconstructions")


def figure_of_denoising():
    fig, (left, right) = plt.subplots(1, 2, figsize=(14, 4), layout="constrained",
                                      gridspec_kw={"width_ratios": [1, 2.6]})
    y = line
    left.fill_between(y, y_density.pdf(y), color=REAL, alpha=0.2, lw=0, label="p(y), x = ±1")
    left.plot(y, y / (1 + sigma_pm**2), color=FAKE, label="best line")
    left.plot(y, learned_pm, color=LEARNED, lw=3, alpha=0.6, label="trained")
    left.plot(y, np.tanh(y / sigma_pm**2), color=THEORY, ls="--", label="E[x|y] = tanh(y/σ²)")
    left.set(xlim=(-3, 3), ylim=(-1.6, 1.6), xlabel="y = x + σε", ylabel="denoised")
    left.set_title("A trained denoiser is E[x|y]")
    left.legend(loc="lower right", fontsize="small")
    rows(right, {"clean": test_flat, f"noisy   {errors['noisy']:.0f}": noisy,
                 f"linear   {errors['linear']:.1f}": wiener,
                 f"network   {errors['network']:.1f}": restored}, 10,
         f"σ = {image_sigma}, and the squared error per image")
    lesson.figure(fig, "denoising")


figure_of_copies()
figure_of_denoising()


# %% Step 10: holes
lesson.step("""
    10. The code space has holes, and no prior
    Claim: nothing in the loss says where codes should lie. So the decoder is only trained where
    codes happen to be, and a random code need not be a picture of anything.

      1. Replace the encoder by A(c − b) after it, the decoder by A⁻¹c + b before it: the same
         copies, the same loss, other codes, anywhere. So the loss knows no prior p(c).
      2. Take the kindest prior that is a Gaussian, by that freedom N(0, I): move the codes to mean
         0 and covariance I.
      3. How far is a code from the nearest code of a training image? Let r be what 90% of *new*
         images stay within; call a hole what is farther than r. So 10% of new images are in holes.
      4. Of draws from N(0, I) more are. In 30 dimensions most: the codes have the prior's mean and
         covariance, and yet fill only a small part of where it puts its mass.
      5. Decoded, draws are farther from every training image than copies of new images are.
    Lesson 03 repairs it: a variational autoencoder puts the prior into the loss.
""")


def distance_to_nearest(a, b):
    """For each row of a, the distance to the nearest row of b."""
    lengths = (b**2).sum(axis=1)
    nearest = [(lengths - 2 * part @ b.T).min(axis=1) for part in np.array_split(a, 8)]
    return np.sqrt(np.maximum(np.concatenate(nearest) + (a**2).sum(axis=1), 0.0))


def encode(model, array):
    return model.encode(mg.Tensor(array)).numpy().astype(np.float64)


def frame(codes):
    """The mean of the codes and a factor F of their covariance F Fᵀ: code = mean + F standard."""
    return codes.mean(axis=0), np.linalg.cholesky(np.cov(codes.T, bias=True))


mean, factor = frame(encode(narrow, train_flat))
last, first = narrow.encoder.layers[-1], narrow.decoder.layers[0]
moved = {last.weight: np.linalg.inv(factor) @ last.weight.numpy(),
         last.bias: np.linalg.inv(factor) @ (last.bias.numpy() - mean),
         first.bias: first.bias.numpy() + first.weight.numpy() @ mean,
         first.weight: first.weight.numpy() @ factor}
for parameter, numbers in moved.items():
    parameter.data = mg.Tensor(numbers, dtype="float32").data
lesson.check("codes moved to mean 0 and covariance I: the same copies",
             reconstruct(narrow, test_flat), copies["MLP, 2"], tolerance=1e-3)  # float32


def explore(model, train, test, count=2000):
    """Standard codes of training and test images; r; draws, are they in holes, and decoded."""
    codes = encode(model, train[:5000])
    mean, factor = frame(codes)
    codes, new = (np.linalg.solve(factor, (c - mean).T).T
                  for c in (codes, encode(model, test[:1000])))
    radius = np.quantile(distance_to_nearest(new, codes), 0.9)
    drawn = rng.standard_normal((count, codes.shape[1]))
    in_hole = distance_to_nearest(drawn, codes) > radius
    decoded = reconstruct(model.decode, (mean + drawn @ factor.T).astype(np.float32))
    return codes, new, radius, drawn, in_hole, decoded.reshape(count, -1)


codes, new, radius, drawn, in_hole, _ = explore(narrow, train_flat, test_flat)
codes_30, new_30, _, _, in_hole_30, decoded_30 = explore(convolutional, images.train, images.test)
half = len(new) // 2
bar = np.quantile(distance_to_nearest(new[:half], codes), 0.9)
lesson.check("share of new images in holes, by the r of other new images",
             (distance_to_nearest(new[half:], codes) > bar).mean(), 0.1, "monte-carlo", n=half,
             standard_error=math.sqrt(0.1 * 0.9 * 2 / half))  # two samples: one of them sets r
far_copies, far_draws = (distance_to_nearest(a.reshape(len(a), -1)[:1000], train_flat).mean()
                         for a in (copies[f"conv, {code_size}"], decoded_30))
lesson.say(f"""
    in holes: 10% of new images; of draws {100 * in_hole.mean():.0f}% with a code of 2, \
{100 * in_hole_30.mean():.0f}% with a code of {code_size}
    distance to the nearest training image, code of {code_size}: copies of new images \
{far_copies:.2f}, decoded draws {far_draws:.2f}""")
lesson.check(f"code of {code_size}: share of draws in holes, what it lacks of 1/2",
             max(0.0, 0.5 - in_hole_30.mean()), 0.0, "trained", 0.0, why="21 runs: .81, sd .04")
lesson.check("decoded draws: how much nearer to the data than copies",
             max(0.0, far_copies - far_draws), 0.0, "trained", 0.0,
             why="21 runs: farther by .87, sd .05")


# %% ... drawn
def scatter_by_class(ax, points, title):
    colors = plt.get_cmap("tab10")
    for label, name in enumerate(images.names):
        of = images.test_labels == label
        ax.scatter(*points[of].T, s=10, lw=0, alpha=0.75, color=colors(label), label=name)
    for label, name in enumerate(images.names):
        ax.annotate(name, np.median(points[images.test_labels == label], axis=0), weight="bold",
                    ha="center", va="center", color=colors(label), size="large",
                    path_effects=[patheffects.withStroke(linewidth=3, foreground="white")])
    low, high = np.quantile(points, [0.005, 0.995], axis=0)  # all but a few stragglers
    margin = 0.05 * (high - low)
    ax.set(xlim=(low[0] - margin[0], high[0] + margin[0]),
           ylim=(low[1] - margin[1], high[1] + margin[1]), xticks=[], yticks=[], title=title)
    ax.spines[:].set_visible(False)


def figure_of_codes():
    fig, axes = plt.subplots(1, 2, figsize=(12, 5.6), layout="constrained")
    scatter_by_class(axes[0], principal[2].encode(test_flat), "Two principal components")
    scatter_by_class(axes[1], encode(narrow, test_flat), "The autoencoder's code of two numbers")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", markerscale=3)
    lesson.figure(fig, "codes")


def figure_of_holes(across=17, reach=2.9):
    ticks = np.linspace(-reach, reach, across)
    places = np.stack(np.meshgrid(ticks, ticks[::-1]), axis=-1).reshape(-1, 2)
    decoded = reconstruct(narrow.decode, places.astype(np.float32)).reshape(-1, *shape)
    empty = (distance_to_nearest(places, codes) > radius)[:, None, None, None]
    paper = np.array([0.98, 0.86, 0.82])[:, None, None]  # holes lie on red paper
    ink = decoded if shape[0] == 3 else 1 - decoded.repeat(3, axis=1)
    fig, axes = plt.subplots(1, 3, figsize=(15, 5.4), layout="constrained")
    edge = reach * (1 + 1 / (across - 1))
    axes[0].scatter(*codes.T, s=3, lw=0, color=THEORY, alpha=0.5, label="codes of training images")
    axes[0].scatter(*drawn[in_hole].T, s=5, lw=0, color=FAKE, label="draws from N(0, I) in holes")
    axes[0].set(xlim=(-edge, edge), ylim=(-edge, edge), xticks=[], yticks=[], aspect="equal")
    axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, 0), markerscale=3, ncols=2)
    axes[0].set_title(f"Code of 2: {100 * in_hole.mean():.0f}% of draws in holes")
    show(axes[1], np.where(empty, ink * paper, ink), across, "The square, decoded (holes: red)")
    show(axes[2], decoded_30[:121].reshape(-1, *shape), 11,
         f"Code of {code_size}: draws, decoded; {100 * in_hole_30.mean():.0f}% in holes")
    lesson.figure(fig, "holes")


figure_of_codes()
figure_of_holes()


# %% Step 11: beside a published figure (nothing here happens without --full)
def published():
    """The deep autoencoder of Hinton and Salakhutdinov (2006), on all images: its squared error.

    Theirs was pretrained layer by layer with Boltzmann machines, for want of a good start. With the
    start of He et al. (2015) and Adam, training goes from nothing.
    """
    lesson.step("""
        11. A code of 30 numbers, beside the published figure
          1. The encoder has 1000, 500, 250 hidden units and a linear code of 30, as theirs.
          2. Theirs, on MNIST's 10,000 test images: squared error 3.00 per image; PCA's 13.87.
    """)
    start, epochs, batch = time.perf_counter(), 40, 128
    steps = epochs * len(train_flat) // batch
    deep = MLPAutoencoder(pixels, 30, hidden=(1000, 500, 250), generator=rng)
    deep_batches = Batches((train_flat,), batch, rng)

    def loss():
        x, = next(deep_batches)
        return losses.bce_with_logits(deep(x), x)

    path = Path(lesson.args.out) / f"02_autoencoder_{lesson.args.data}_{lesson.seed}.npz"
    fit(deep, loss, steps, 1.5e-3, "deep autoencoder", (path, {"batches": deep_batches}))
    path.unlink()  # it has served
    reached = {name: per_point(reconstruct(deep, flat), flat).mean()
               for name, flat in (("test", test_flat), ("training", train_flat))}
    pca_30 = whole._replace(components=whole.components[:30])
    by_pca = per_point(pca_30.decode(pca_30.encode(test_flat)), test_flat).mean()
    lesson.say(f"""
        deep autoencoder, code of 30: {reached["test"]:.2f} per test image, \
{reached["training"]:.2f} per training image,
        after {epochs} epochs in {(time.perf_counter() - start) / 60:.1f} minutes; \
PCA with 30 components: {by_pca:.2f}""")
    lesson.check("the deep autoencoder's error beyond PCA's",
                 max(0.0, reached["test"] - by_pca), 0.0, "trained", 0.0,
                 why="one run of 40 epochs: 2.88, PCA 13.87")
    if lesson.args.data == "mnist":
        lesson.check("PCA with 30 components on MNIST, as published", by_pca, 13.87,
                     tolerance=0.005)  # it has two decimals
        lesson.say(f"Published: 3.00. The gap is {reached['test'] - 3.00:+.2f}.")


if lesson.full:
    published()

# %%
lesson.step("""
    12. Exercises
      a. PCA without centring: the eigenvectors of E[x xᵀ] = S + m mᵀ, and a plane through 0. What
         does it lose on the points of step 1, and why never less?
      b. L2 with λ >= s_1²: what is the best autoencoder, and its loss?
      c. The target is +1 with probability .7, else −1. What is best under |x − x_hat|, and what
         does that answer hide that the mean .4 does not?
      d. Denoising ±1: what is the slope of the best denoiser at y = 0, and when does it exceed 1?
      e. With orthonormal atoms, what does top-k lose?
    Answers
      a. The sum of the tail of S + m mᵀ. Its plane is one of those that step 1 compares, but for
         the offset, and those lose no less than PCA's: a component is spent on the way to m.
      b. All weights 0, each input is copied as the mean: the loss is tr S.
      c. x_hat = 1: E|x − x_hat| = .3 |−1 − x_hat| + .7 |1 − x_hat| falls until 1. The median is no
         blur, but 30% of the data have no part in it.
      d. d/dy tanh(y/σ²) = 1/σ² at 0: steeper than the noisy y itself if σ < 1. The best line's
         slope is 1/(1 + σ²), always less than 1.
      e. The squares of the dropped Dᵀx: orthonormal atoms turn lengths of x into lengths of codes.
""")
second_moment = np.linalg.eigh(x.T @ x / n)
through_0 = second_moment.eigenvectors[:, -k:]
lesson.check("exercise a: the error of a plane through 0",
             per_point(x @ through_0 @ through_0.T, x).mean(), second_moment.eigenvalues[:-k].sum())
lesson.check("exercise a: how far below PCA's", max(0.0, pca.tail - second_moment.eigenvalues[
             :-k].sum()), 0.0)
w1, w2 = decayed(2, 1.05 * pca.eigenvalues[0], 600, 0.1, "too much L2")
lesson.check("exercise b: weights", [*w1.ravel(), *w2.ravel()], 0.0, **CONVERGED)
answers = np.linspace(-1.5, 1.5, 3001)
absolute = 0.3 * np.abs(-1 - answers) + 0.7 * np.abs(1 - answers)
lesson.check("exercise c: the best answer", answers[absolute.argmin()], 1.0)
y = mg.Tensor(np.zeros(1), requires_grad=True)
slope, = mg.grad(ops.tanh(y / sigma_pm**2), [y])
centre = len(line) // 2
lesson.check("exercise d: slope at 0, by the score", slope.item(),
             1 + sigma_pm**2 * np.gradient(y_density.score(line), line)[centre], tolerance=1e-3)
basis, _ = np.linalg.qr(rng.standard_normal((7, 7)))
z = rng.standard_normal((40, 7))
kept_3 = top_k(mg.Tensor(z @ basis), 3).numpy()
lesson.check("exercise e: what top-3 loses", per_point(kept_3 @ basis.T, z),
             np.sort((z @ basis) ** 2, axis=1)[:, :4].sum(axis=1))

lesson.finish()
