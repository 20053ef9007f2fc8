"""09. StyleGAN: a generator that is told its style, layer by layer

The question. A generator turns one vector of noise into an image, and nobody can say what which
number of it does. Can a generator be built so that pose, shape and texture have knobs of their own?

You will derive what AdaIN sets and what it forgets; why noise must be added; what the mapping, the
pixel norm and an equalised learning rate do; how a network grows without noticing; what R1 costs;
and what mixing and truncation do to the styles. Then a small StyleGAN grows from 7×7 to 28×28.

You need: the GAN game (lessons 04, 05), convolution and normalisation (lesson 01).
Papers: Karras, Laine and Aila, A Style-Based Generator Architecture for Generative Adversarial
Networks, 2019; Karras, Aila, Laine and Lehtinen, Progressive Growing of GANs, 2018; Huang and
Belongie, Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization, 2017;
Mescheder, Geiger and Nowozin, Which Training Methods for GANs do actually Converge?, 2018.

Notation: a plane is one channel of one image, x with mean m and variance v; its style is a scale s
and a shift b. z ~ N(0, I) is the latent, w = f(z) what the mapping makes of it, ψ the truncation, α
how far a level has faded in, γ the weight of R1.

Other images:  --data mnist|fashion|shapes.  --full trains longer, and on all classes.
"""

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
from images import DATA, load, show
from lesson import THEORY, Lesson

import minigen as mg
from minigen import losses, nn, ops, optim
from minigen.ema import EMA
from minigen.models.gan import discriminator_loss, generator_loss, r1_penalty
from minigen.models.stylegan import (
    Discriminator, EqualisedConv2d, EqualisedLinear, Generator, Mapping, Styled, fade_images, mix,
    pixel_norm, truncate,
)
from minigen.training import Batches, minimise, train

lesson = Lesson("09_stylegan", __doc__, arguments=[DATA])
rng = lesson.rng


def constant(array):
    """A float64 Tensor through which no gradient flows."""
    return mg.Tensor(array, dtype="float64")


def leaf(array):
    """A float64 Tensor whose gradient we may ask for."""
    return mg.Tensor(array, requires_grad=True, dtype="float64")


def draw(*shape):
    """Numbers from N(0, 1)."""
    return rng.standard_normal(shape)


# %%
lesson.step("""
    1. AdaIN: the style is the mean and the deviation
    Claim. AdaIN(x) = s (x - m)/√(v + ε) + b has mean b and deviation |s| √(v/(v + ε)): whatever x
    was, its planes leave with the style's statistics.
      1. x̂ = (x - m)/√(v + ε) has mean 0 and variance v/(v + ε). For ε = 0: 1, exactly.
      2. s x̂ + b has mean b and deviation |s| √(v/(v + ε)).
      3. With a x + c in place of x, a > 0:  x - m and √v both become a-fold, c cancels. For ε = 0
         the output is the same. For a < 0 it is mirrored at b:  2b - y.
      4. So no step along 1 or along x̂ changes the output, and the gradient g in x is orthogonal
         to both:  Σ g = 0  and  Σ g x̂ = 0  in each plane, for any loss. A gradient that takes m or
         v for constants, a common slip, is not.
""")
n, c, side = 4, 3, 6
x = 2.0 + 3.0 * draw(n, c, side, side)
scale, shift = draw(n, c), draw(n, c)
y = ops.adain(constant(x), constant(scale), constant(shift), eps=0.0).numpy()
lesson.check("AdaIN: every plane's mean is its shift", y.mean(axis=(2, 3)), shift)
lesson.check("AdaIN: every plane's deviation is its |scale|", y.std(axis=(2, 3)), np.abs(scale))
y_eps = ops.adain(constant(x), constant(scale), constant(shift), eps=0.1).numpy()
v = x.var(axis=(2, 3))
lesson.check("... |s| √(v/(v + ε)) with ε = .1", y_eps.std(axis=(2, 3)),
             np.abs(scale) * np.sqrt(v / (v + 0.1)))

a, offset = np.exp(draw(n, c, 1, 1)), 5.0 * draw(n, c, 1, 1)
moved = ops.adain(constant(a * x + offset), constant(scale), constant(shift), eps=0.0)
lesson.check("AdaIN(a x + c) = AdaIN(x) for a > 0", moved, y)
mirrored = ops.adain(constant(-a * x + offset), constant(scale), constant(shift), eps=0.0)
lesson.check("... for a < 0: 2b - AdaIN(x)", mirrored, 2 * shift[:, :, None, None] - y)

x_hat = (x - x.mean(axis=(2, 3), keepdims=True)) / x.std(axis=(2, 3), keepdims=True)
for graph, how in ((False, "by its kernel"), (True, "by ops, to be differentiated again")):
    place = leaf(x)
    loss = (constant(draw(n, c, side, side))
            * ops.adain(place, constant(scale), constant(shift), eps=0.0)).sum()
    g = mg.grad(loss, place, create_graph=graph)[0].numpy()
    lesson.check(f"gradient {how}: Σ g = 0", g.sum(axis=(2, 3)), 0.0)
    lesson.check(f"gradient {how}: Σ g x̂ = 0", (g * x_hat).sum(axis=(2, 3)), 0.0)

# %%
lesson.step("""
    2. What AdaIN forgets, and why noise is added
    Claim. Behind an AdaIN nobody knows how strong a feature was, only where it was stronger. And
    a generator without noise has nothing random but its style.
      1. By step 1 each plane's own mean and variance are gone; b and s stand in their place. A
         stroke twice as dark in every pixel is the same stroke. So one layer's style does not reach
         through the next AdaIN as a strength, only as a pattern: styles act layer by layer.
      2. Leaky ReLU keeps positive factors. So each filter of G may be a times as large, a > 0, if
         its bias and noise are too: no image changes. How large they start is not seen.
      3. G begins at one constant picture, the same for all images. What lies where (which way a
         hair falls) it can only compute from w. A picture of noise n ~ N(0, 1) added to every
         layer gives it a random number at each pixel.
      4. AdaIN sets a price:  x + k n  has variance v + k², and is scaled back to s². A share
         k²/(v + k²) of the plane's variance is noise, and its correlation with x is
         1/√(1 + k²/v).  G learns k for each channel, from k = 0.
""")
small = dict(colours=1, start=4, channels=(8, 6, 4), latent=16, depth=2)
g = Generator(**small, generator=rng)
z = mg.randn(5, 16, generator=rng)
noise = g.noise(5, generator=rng)


def paint(net, styles, level=-1, alpha=1.0, noise=noise):
    """The images as an array."""
    with mg.no_grad():
        return net.paint(styles, level, alpha, noise).numpy()


with mg.no_grad():
    w = g.mapping(z)
filters, maps = draw(4, c, 3, 3), constant(draw(2, c, 8, 8))
one, nothing = constant(np.ones((2, 4))), constant(np.zeros((2, 4)))
behind = [ops.adain(ops.leaky_relu(ops.conv2d(maps, constant(size * filters)), 0.2), one, nothing,
                    eps=0.0) for size in (1.0, np.exp(draw(4, 1, 1, 1)))]
lesson.check("every filter times a number a > 0: the same behind AdaIN", behind[1], behind[0])
lesson.check("strength 0: other noise, the same images", paint(g, [w] * 6, noise=g.noise(5)),
             paint(g, [w] * 6))

pixels, k = 256, 0.75
plane, grain = draw(1, 1, pixels, pixels), draw(1, 1, pixels, pixels)
noisy = ops.adain(constant(2 * plane + 2 * k * grain), constant([[1.0]]), constant([[0.0]])).numpy()
rho = 1 / math.sqrt(1 + k ** 2)  # v = 4 and k = 1.5, so k²/v = .5625
lesson.check("k²/v = .5625: correlation with x is 1/√(1 + k²/v)",
             np.corrcoef(noisy.ravel(), plane.ravel())[0, 1], rho, "monte-carlo", n=pixels ** 2,
             standard_error=(1 - rho ** 2) / pixels)

# %%
lesson.step("""
    3. From z to w: pixel norm and the mapping
    Claim. Pixel norm puts z on a sphere, and the mapping may then put w anywhere.
      1. x/√(mean of x² over the features) has mean square 1, and a x gives the same for a > 0.
      2. For z ~ N(0, I) in d dimensions |z|²/d = 1 ± √(2/d): for large d little is lost.
      3. Densities in z have no gaps. If the data have one (no thick ones among the slanted, say), a
         map that reads styles straight off z must bend around it. An MLP f between can let w have
         the gaps, and so keep the rest straight (Karras et al. 2019, figure 6).
      4. Of w, one affine map for each layer makes that layer's style, (s - 1, b) = A w + c, so that
         w = 0 with c = 0 is the neutral style (1, 0).
""")
features = constant(3.0 * draw(6, 512, 2, 2))
normed = pixel_norm(features, eps=0.0)
lesson.check("pixel norm: mean square over the features", (normed * normed).mean(1), 1.0)
lesson.check("pixel norm of 7x: that of x", pixel_norm(7.0 * features, eps=0.0), normed)
length = (draw(4000, 512) ** 2).mean(axis=1)
lesson.check("512-d: variance of |z|²/d, times d/2", length.var(ddof=1) * 512 / 2, 1.0,
             "monte-carlo", n=4000, standard_error=math.sqrt((2 + 12 / 512) / 3999))
styled = Styled(c, 16, rng)
code = mg.randn(n, 16, generator=rng)
affine = (code.numpy().astype(float) @ styled.style.weight.numpy().T.astype(float)) / math.sqrt(16)
with mg.no_grad():
    y = styled(mg.Tensor(x, dtype="float32"), code).numpy()
    neutral = styled(mg.Tensor(x, dtype="float32"), mg.zeros(n, 16)).numpy()
lesson.check("the style of w: the planes' deviations are |1 + A w|", y.std(axis=(2, 3)),
             np.abs(1 + affine[:, :c]), tolerance=1e-4, why="float32, and ε beside v = 9")
lesson.check("... and their means A w", y.mean(axis=(2, 3)), affine[:, c:], tolerance=1e-4,
             why="float32")
lesson.check("w = 0: planes of mean 0", neutral.mean(axis=(2, 3)), 0.0, tolerance=1e-5,
             why="float32")
lesson.check("... and deviation 1", neutral.std(axis=(2, 3)), 1.0, tolerance=1e-4, why="float32")

# %%
lesson.step("""
    4. Equalised learning rate
    Claim. Scaling the weights in use, not when they are drawn, gives every layer the same signals
    and the same speed under Adam.
      1. y = h Σ_i w_i x_i over F inputs of mean square 1, with w_i ~ N(0, 1): variance h² F. With
         h = gain/√F it is gain², whatever F is.
      2. Leaky ReLU of slope .2 keeps (1 + .2²)/2 = .52 of the mean square of y ~ N(0, gain²). With
         gain √2 that leaves 1.04: about 1 in each layer, so that no depth makes signals vanish.
      3. The plain way draws W = h w with the same variance: the same network, at the start.
      4. But Adam's first step is lr sign(gradient), for each parameter, however large (lesson 01).
         Plain: W moves by lr, relative to its size h by lr/h = lr √F/gain. A layer of 1024 inputs
         changes 16 times as fast as one of 4. Equalised: w moves by lr of its size 1, in all.
      5. So h is a learning rate for each layer. The mapping's weights are drawn from N(0, 1/c²) and
         used times c h: the same outputs, and a relative speed of c lr.
""")
for fan_in in (16, 1024):
    layer = EqualisedLinear(fan_in, 4000, generator=rng)
    with mg.no_grad():
        out = layer(pixel_norm(mg.randn(1, fan_in, generator=rng)))
        after = ops.leaky_relu(out, 0.2).numpy().astype(float).ravel() ** 2
    squares = out.numpy().astype(float).ravel() ** 2
    lesson.check(f"{fan_in} inputs: mean square behind the layer", squares.mean(), 2.0,
                 "monte-carlo", n=4000, standard_error=2.0 * math.sqrt(2 / 4000))
    lesson.check(f"{fan_in} inputs: ... and behind leaky ReLU", after.mean(), 1.04, "monte-carlo",
                 n=4000, standard_error=after.std() / math.sqrt(4000))
layer = EqualisedConv2d(24, 4000, 3, gain=1.0, generator=rng)
with mg.no_grad():
    out = layer(mg.ones(1, 24, 3, 3)).numpy().astype(float)[0, :, 1, 1]  # nothing padded there
lesson.check("a convolution of 24·3·3 inputs, gain 1: mean square", (out ** 2).mean(), 1.0,
             "monte-carlo", n=4000, standard_error=math.sqrt(2 / 4000))


def relative_step(layer, size, lr=1e-3):
    """How far Adam's first step moves the weights in use, relative to their deviation at first."""
    optimiser = optim.Adam(layer.parameters(), lr)
    inputs = mg.randn(8, layer.weight.shape[1], generator=rng)
    first = layer.weight.numpy().astype(float)
    minimise((layer(inputs) ** 2).mean(), optimiser, layer)
    moved = np.abs(layer.weight.numpy() - first).mean()
    return moved / (lr * size)


def plain(fan_in):
    """A layer drawn with the variance that an equalised one has in use."""
    layer = nn.Linear(fan_in, 8, generator=rng)
    layer.weight = nn.init.kaiming_normal((8, fan_in), generator=rng)
    return layer


fans = (4, 64, 1024)
lesson.check("plain layers of 4, 64, 1024 inputs: relative steps, in lr",
             [relative_step(plain(f), math.sqrt(2 / f)) for f in fans],
             [math.sqrt(f / 2) for f in fans], tolerance=0.05, why="rounding of W - lr in float32")
lesson.check("equalised layers of 4, 64, 1024 inputs: relative steps, in lr",
             [relative_step(EqualisedLinear(f, 8, generator=rng), 1.0) for f in fans], 1.0,
             tolerance=2e-3, why="rounding of w - lr in float32")
lesson.check("... at speed .1",
             relative_step(EqualisedLinear(64, 8, speed=0.1, generator=rng), 1 / 0.1), 0.1,
             tolerance=2e-4, why="rounding of w - lr in float32")

# %%
lesson.step("""
    5. Larger and smaller images
    Claim. Upsampling must not brighten; and pooling undoes one kind of it, not the other.
      1. Bilinear upsampling: each output is a mean of its neighbours, with weights 1/4 and 3/4
         along each axis. They sum to 1, so a constant stays one, borders included.
      2. Each inner input gives 1/4, 3/4, 3/4, 1/4 along each axis, 2 in all: times 2 for 2 × 2.
      3. Nearest upsampling, then average pooling: four equal numbers, their mean. The identity.
      4. Bilinear upsampling, then average pooling: the means of two neighbours each,
         (1/8, 6/8, 1/8) along each axis. A slight blur.
    So features go up bilinearly, which is smooth. Images on their way to D go up by nearest: D is
    to see exactly the images that it knew.
""")
impulse = np.zeros((1, 1, 7, 7))
impulse[0, 0, 3, 3] = 1.0
impulse = constant(impulse)
weights = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
lesson.check("bilinear: the mark that one pixel leaves",
             ops.upsample_bilinear(impulse).numpy()[0, 0, 5:9, 5:9], weights)
lesson.check("bilinear: a constant stays one",
             ops.upsample_bilinear(constant(np.ones((1, 1, 5, 5)))), 1.0)
picture = constant(draw(2, 3, 5, 5))
lesson.check("pooling after nearest: the identity",
             ops.avg_pool2d(ops.upsample_nearest(picture), 2), picture)
lesson.check("pooling after bilinear: (1, 6, 1)/8 each way",
             ops.avg_pool2d(ops.upsample_bilinear(impulse), 2).numpy()[0, 0, 2:5, 2:5],
             np.outer([1, 6, 1], [1, 6, 1]) / 64)

# %%
lesson.step("""
    6. Growing, unnoticed
    Claim. At α = 0 the larger networks compute what the smaller ones did, at α = 1 the new level
    alone counts; between, images and features are mixed in that proportion.
      1. G:  (1 - α) nearest(image of the last level) + α (image of the new level).
      2. D:  (1 - α) features of pooled x + α (features by the new level).  Real images get as
         coarse as G's:  (1 - α) nearest(pool(x)) + α x.
      3. 0·y and 1·y are exact, so α = 0 and α = 1 are equal to the bit to one network without
         the other.
      4. With step 5, D(G(z)) does not change as a level is added at α = 0: the game goes on.
""")
g = Generator(**small, generator=rng)
for layer in g.layers:  # as if trained: noise that counts
    layer.strength.data = mg.Tensor(3.0 * draw(*layer.strength.shape), dtype="float32").data
d = Discriminator(1, 4, small["channels"], rng)
with mg.no_grad():
    w = g.mapping(z)
styles = [w] * 6


def upsampled(images):
    return images.repeat(2, axis=2).repeat(2, axis=3)


def judged(images, level=-1, alpha=1.0):
    """D's logits as an array."""
    with mg.no_grad():
        return d(mg.Tensor(images), level, alpha).numpy()


def level_alone(level):
    """The image of that level without any fading."""
    with mg.no_grad():
        x = g.constant
        for layer, style, grain in zip(g.layers[:2 * level + 2], styles, noise):
            x = layer(x, style, grain)
        return g.to_colours[level](x).numpy()


for level in (1, 2):
    smaller, larger = paint(g, styles, level - 1), level_alone(level)
    name = f"level {level}, "
    lesson.check(name + "α = 0: the smaller image, upsampled, to the bit",
                 (paint(g, styles, level, 0.0) != upsampled(smaller)).sum(), 0)
    lesson.check(name + "α = 1: the larger image, to the bit",
                 (paint(g, styles, level, 1.0) != larger).sum(), 0)
    lesson.check(name + "α = .3: 7 parts and 3", paint(g, styles, level, 0.3),
                 0.7 * upsampled(smaller) + 0.3 * larger, tolerance=1e-6, why="float32")
    lesson.check(name + "α = 0: D's logits are those of the pooled image",
                 judged(larger, level, 0.0),
                 judged(ops.avg_pool2d(mg.Tensor(larger), 2).numpy(), level - 1),
                 tolerance=0.0, why="to the bit")
    lesson.check(name + "α = 0: D(G(z)) is the smaller pair's",
                 judged(paint(g, styles, level, 0.0), level, 0.0), judged(smaller, level - 1),
                 tolerance=1e-5, why="float32: a mean of four equal numbers")
reals = mg.rand(3, 1, 8, 8, generator=rng)
lesson.check("real images at α = .3, pooled: pooled as they were",
             ops.avg_pool2d(fade_images(reals, 0.3), 2), ops.avg_pool2d(reals, 2), tolerance=1e-6,
             why="float32")

# %%
lesson.step("""
    7. What D is charged: R1
    Claim. R1 = 1/2 E_r|∇a(x)|², the slope of D's logit a at real images. A level more makes the
    same D four times cheaper, so that γ must be four times as large to mean the same.
      1. a(x) = u·x has slope u everywhere: R1 = |u|²/2.
      2. D on images twice as large is, at α = 0, a(pool(x)). Each of the four pixels of a square
         moves it a quarter as much:  |∇|² = 4 (1/4)² = 1/4 of what it was.
      3. So γ ~ number of pixels, the same rule that later papers arrived at (Karras et al. 2020,
         Training Generative Adversarial Networks with Limited Data: γ ∝ pixels/batch).
      4. At a = 0, where D knows nothing, G's loss E[-ln σ(a)] is ln 2, and D's 2 J_D = 2 ln 2.
    The logits of a batch depend on each other through the batch's deviation (`MinibatchStd`). So
    ∇ Σ a_i, from which R1 is computed, in these papers too, is not quite each image's own slope.
""")
u = draw(1, 3, 4, 4)
lesson.check("R1 of u·x: |u|²/2", r1_penalty(lambda x: (x * constant(u)).sum((1, 2, 3)),
                                             constant(draw(6, 3, 4, 4))), (u ** 2).sum() / 2)
reals = mg.Tensor(paint(g, styles, 1))
lesson.check("R1 one level up, α = 0, relative to before",
             (r1_penalty(lambda x: d(x, 2, 0.0), ops.upsample_nearest(reals))
              / r1_penalty(lambda x: d(x, 1), reals)).item(), 0.25, tolerance=1e-5, why="float32")
no_idea = mg.zeros(4, 1)
lesson.check("G's loss where D knows nothing", generator_loss(no_idea), math.log(2),
             tolerance=1e-6, why="float32")


def own_r1(images):
    """1/2 of the mean square slope, where each logit is differentiated in its own image only."""
    points = mg.Tensor(images, requires_grad=True)
    own = [mg.grad(d(points)[i].sum(), points)[0].numpy()[i] for i in range(len(images))]
    return 0.5 * sum((slope ** 2).sum() for slope in own) / len(images)


points = mg.Tensor(paint(g, styles))
together = r1_penalty(d, points).item()
lesson.say(f"this D at its start: R1 from the sum of the logits {together:.4f}, "
           f"from each one's own slope {own_r1(points):.4f}")

# %%
lesson.step("""
    8. Mixing and truncation
    Claim. Two images that share w up to layer c are equal up to there. Truncation draws styles
    towards the mean and keeps their mean.
      1. Layer i sees only w_i and what came before it. With the same noise, layers 0 .. c - 1 are
         equal to the bit for two images whose styles part at layer c.
      2. In training, some images get two w's that part at a random layer. So G learns that one
         layer's style says nothing of the next one's, and each must stand for itself.
      3. w' = w̄ + ψ (w - w̄), with w̄ = E[w]:  E[w'] = w̄  and  Var(w') = ψ² Var(w).
      4. ψ = 0 is the average image; ψ < 1 trades variety for images such as G has practised most.
      5. In z nothing would happen: pixel norm puts ψ z back on the sphere (step 3). And towards 0
         in place of w̄ the mean would move: w̄ ≠ 0, for f ends in a leaky ReLU.
""")


def features_of(styles):
    """The features behind every layer."""
    found, x = [], g.constant
    with mg.no_grad():
        for layer, style, grain in zip(g.layers, styles, noise):
            x = layer(x, style, grain)
            found.append(x.numpy())
    return found


with mg.no_grad():
    other = g.mapping(mg.randn(5, 16, generator=rng))
first = features_of([w] * 6)
lesson.check("crossover 0 .. 6: layers equal to the first's, to the bit",
             [sum((a == b).all() for a, b in zip(first, features_of(mix(w, other, c, 6))))
              for c in range(7)], range(7))
lesson.check("crossover 2: the image of level 0, to the bit",
             (paint(g, mix(w, other, 2, 6), 0) != paint(g, [w] * 6, 0)).sum(), 0)
with mg.no_grad():
    sample = Mapping(16, 2, generator=rng)(mg.randn(2000, 16, generator=rng))
    sample = constant(sample.numpy())
w_mean = sample.mean(0, keepdims=True)
for psi in (0.7, -0.5):
    truncated = truncate(sample, w_mean, psi)
    lesson.check(f"ψ = {psi}: variance of w, in ψ²", truncated.var(0) / sample.var(0), psi ** 2)
    lesson.check(f"ψ = {psi}: mean of w", truncated.mean(0, keepdims=True), w_mean)

# %%
images = load(lesson, 60_000 if lesson.full else 5_000, 2_000)
CLASSES = min(10 if lesson.full else 4, len(images.names))  # half a minute is short for ten
OF_G, OF_D = ((64, 48, 24), (64, 48, 24)) if lesson.full else ((48, 24, 12), (32, 24, 12))
BATCH, LR = ((32, 32, 32), 0.004) if lesson.full else ((16, 16, 8), 0.006)
STEPS = (2_000, 6_000, 12_000) if lesson.full else (250, 460, 380)
GAMMA = (0.5, 1.5, 5.0)
LATENT, DEPTH, PSI = 32, 2, 0.7
lesson.step(f"""
    9. A small StyleGAN grows: {", ".join(f"{steps:,}" for steps in STEPS)} steps
      1. Each level trains on images pooled to its side. Its first half fades in, α = 0 .. 1.
      2. D lowers 2 J_D + γ R1, with γ = {", ".join(map(str, GAMMA))}: by step 7 four times as
         much a level; a little less does here. R1 costs as much as the rest of D's step. So it
         comes in every fourth step, four times as heavy (Karras et al. 2020, Analyzing and
         Improving the Image Quality of StyleGAN, section 3.1).
      3. G lowers E[-ln σ(a)]. Its samples are those of D's step, drawn once.
      4. Three in ten batches mix: their styles part at a random layer.
      5. Samples are shown from a running mean of G's weights, which jitter less.
""")
chosen, judged_by = images.train_labels < CLASSES, images.test_labels < CLASSES
x_train, y_train = 2 * images.train[chosen] - 1, images.train_labels[chosen]
x_test, y_test = 2 * images.test[judged_by] - 1, images.test_labels[judged_by]
names = images.names[:CLASSES]
colours, side = x_train.shape[1], x_train.shape[-1]


def pooled(images, level):
    """Images (an array) as level 0, 1 or 2 sees them."""
    with mg.no_grad():
        return ops.avg_pool2d(mg.Tensor(images), 2 ** (2 - level)).numpy()


def in_use(network, inputs, level):
    """The parameters that images of this level depend on; those of higher levels wait."""
    parameters = network.parameters()
    gradients = mg.grad(network(inputs, level).sum(), parameters, allow_unused=True)
    return [p for p, gradient in zip(parameters, gradients) if gradient is not None]


class Pair:
    """G and D, which grow together, and a running mean of G."""

    def __init__(self):
        self.g = Generator(colours, side // 4, OF_G, LATENT, DEPTH, rng)
        self.d = Discriminator(colours, side // 4, OF_D, rng)
        self.mean = EMA(self.g, 0.999 if lesson.full else 0.99)
        self.kept = {}  # the same z as the last level fades in

    def train(self, level, steps):
        """The training of one level."""
        batches = Batches((pooled(x_train, level),), BATCH[level], rng)
        z = mg.randn(BATCH[level], LATENT, generator=rng)
        self.optimisers = [optim.Adam(in_use(network, inputs, level), LR, (0.0, 0.99))
                           for network, inputs in ((self.d, next(batches)[0]), (self.g, z))]

        def step(i):
            alpha = min(1.0, 2 * i / steps) if level else 1.0
            real, = next(batches)
            if level == 2 and i % (steps // 8) == 0 and i <= steps // 2:
                self.kept[alpha] = paint(self.mean.model, [self.mean.model.mapping(shown)] * 6,
                                         2, alpha, shown_noise)
            return self.step(i, fade_images(real, alpha) if level else real, level, alpha)

        train(step, steps, label=f"{side >> 2 - level}×{side >> 2 - level}")

    def step(self, i, real, level, alpha, every=4):
        """One step of D, one of G."""
        def d(x):
            return self.d(x, level, alpha)

        fake = self.g.paint(self.styles(level), level, alpha)
        loss = 2 * discriminator_loss(d(real), d(fake.detach()))
        slope = r1_penalty(d, real) if i % every == 0 else 0.0
        minimise(loss + every * GAMMA[level] * slope, self.optimisers[0], self.d)
        game = generator_loss(d(fake))
        minimise(game, self.optimisers[1], self.g)
        self.mean.update()
        return {"D: 2 J_D": loss, "G: E[-ln D]": game}

    def styles(self, level):
        """A w for each layer; in three of ten batches, another one from some layer on."""
        layers = 2 * level + 2
        crossover = int(rng.integers(1, layers)) if rng.random() < 0.3 else layers
        w, other = (self.g.mapping(mg.randn(BATCH[level], LATENT, generator=rng)) for _ in range(2))
        return mix(w, other, crossover, layers)

    def sample(self, z, level=-1, psi=1.0):
        """Images of these z by the running mean of G, in [-1, 1], an array."""
        mean = self.mean.model
        with mg.no_grad():
            return mean.paint([truncate(mean.mapping(z), self.w_mean(), psi)] * 6, level).numpy()

    def w_mean(self):
        """The average style, of 2,000 z."""
        z = mg.randn(2000, LATENT, generator=np.random.default_rng(lesson.seed))
        return self.mean.model.mapping(z).mean(0, keepdims=True)


shown = mg.randn(40, LATENT, generator=rng)
pair = Pair()
shown_noise = pair.g.noise(40, generator=rng)
newborn = pair.sample(mg.randn(len(x_test), LATENT, generator=rng))
stages = []
for level, steps in enumerate(STEPS):
    pair.train(level, steps)
    stages.append(pair.sample(shown, level, PSI))

# %%
lesson.step("""
    10. What has it learned? A judge that has never seen G
      1. A classifier of real images gives p(label|x). One clear label for each sample and all
         labels among them: I = H(label) - E H(label|sample) is large. e^I counts the classes that
         it can tell (lesson 03).
      2. A share for each class: a class that G dropped would show as a share near 0.
      3. Without a judge: the squared distance W2² between two Gaussians, with the means and
         covariances of both sets' pixels (pooled to a level less),
         |m - m'|² + tr(C + C' - 2 (C^½ C' C^½)^½),  relative to tr C. Real images against other
         real images give the floor (lesson 15).
      4. Truncation makes samples less varied: towards w̄ the spread of the pixels falls. Where the
         data have one mode, as faces do, it also makes better ones. Here w̄ lies between classes,
         and ψ near 0 drops some of them.
""")
pixels = colours * side ** 2
judge = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 96, generator=rng), nn.ReLU(),
                      nn.Linear(96, CLASSES, generator=rng))
teacher, lessons_of = optim.Adam(judge.parameters(), 0.003), Batches((x_train, y_train), 128, rng)


def teach(i):
    x, y = next(lessons_of)
    loss = losses.cross_entropy(judge(x), y)
    minimise(loss, teacher, judge)
    return {"loss": loss}


train(teach, 2000 if lesson.full else 300, label="judge")


def gaussian_w2(x, y):
    """W2² between the Gaussians of two sets of images, relative to the first one's variance."""
    x, y = (pooled(images, 1).reshape(len(images), -1).astype(float) for images in (x, y))
    covariance, other = np.cov(x.T), np.cov(y.T)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0)).sum()
    distance = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()
    return (distance + np.trace(covariance + other) - 2 * cross) / np.trace(covariance)


def verdict(samples):
    """The share that the judge is 90% sure of, e^I, each class's share, the spread, and W2²."""
    with mg.no_grad():
        p = ops.softmax(judge(mg.Tensor(samples))).numpy().astype(float)
    mean = p.mean(axis=0)
    information = (p * np.log(np.maximum(p, 1e-30) / mean)).sum(axis=1).mean()
    shares = np.bincount(p.argmax(axis=1), minlength=CLASSES) / len(p)
    return ((p.max(axis=1) > 0.9).mean(), math.exp(information), shares,
            samples.std(axis=0).mean(), gaussian_w2(x_train[:len(samples)], samples))


z = mg.randn(len(x_test), LATENT, generator=rng)
sets = {"real images": x_test, "G before training": newborn, "G": pair.sample(z),
        "G, ψ = .7": pair.sample(z, psi=0.7), "G, ψ = .4": pair.sample(z, psi=0.4)}
verdicts = {name: verdict(samples) for name, samples in sets.items()}
lesson.say("\n".join(
    [f"{'':18} sure   classes told   spread of a pixel     W2²   shares of {', '.join(names)}"]
    + [f"{name:18}{sure:5.0%}{told:12.2f}{spread:17.3f}{w2:15.3f}  "
       + " ".join(f"{share:5.0%}" for share in shares)
       for name, (sure, told, shares, spread, w2) in verdicts.items()]))
able = verdicts["real images"][1] > CLASSES / 2  # a judge of real images; of shapes it is not
if able:
    lesson.check("classes told by samples, relative to real images",
                 verdicts["G"][1] / verdicts["real images"][1], 1.0, "trained", 0.23,
                 why="3 runs: .12 below, sd .02; + 5 sd; before training .3 below")
    lesson.check("the rarest class's share, relative to an equal one",
                 verdicts["G"][2].min() * CLASSES, 1.0, "trained", 0.69,
                 why="3 runs: .18 below, sd .1; + 5 sd")
lesson.check("W2² from real images, above other real images'",
             verdicts["G"][4] - verdicts["real images"][4], 0.0, "trained", 0.25,
             why="3 runs: .183, sd .013; + 5 sd; before training 2.4 and more")
spreads = [verdicts[name][3] for name in ("G", "G, ψ = .7", "G, ψ = .4")]
lesson.check("ψ = 1, .7, .4: by how much the spread grows", max(0.0, np.diff(spreads).max()), 0.0,
             "trained", 0.0, why="4 runs: each time it falls, by .055 or more")

# %%
lesson.step("""
    11. Turning the knobs
      1. Two z that the judge takes for different classes are mixed at each layer in turn, and the
         mixture is judged. The more layers are the first's, the more often its class wins. Most of
         what makes a digit is settled by layers 0 and 1, on 7×7 pixels. With --data shapes they
         settle place and slant; the layers after them settle the colour.
      2. With w held fixed, the noise is all that is left to chance. In drawings with clean strokes
         that is next to nothing, and G learns just that; in photographs it is hair and grass.
""")


def mixed(first, second, crossover):
    """Images with the coarse styles of the first z and the fine ones of the second; no noise."""
    mean, silent = pair.mean.model, [0.0 * grain for grain in pair.g.noise(len(first))]
    with mg.no_grad():
        w = [truncate(mean.mapping(z), pair.w_mean(), PSI) for z in (first, second)]
    return paint(mean, mix(*w, crossover, 6), noise=silent)


def label(samples):
    """The judge's most probable class of each."""
    with mg.no_grad():
        return judge(mg.Tensor(samples)).numpy().argmax(axis=1)


one, two = (mg.randn(500, LATENT, generator=rng) for _ in range(2))
own = label(mixed(one, one, 6)), label(mixed(two, two, 6))
differ = own[0] != own[1]
wins = np.array([[(label(mixed(one, two, crossover)) == each)[differ].mean() for each in own]
                 for crossover in range(1, 6)])
lesson.say("class of the mixture:\n" + "\n".join(
    f"  the styles part at layer {crossover}:  {first:4.0%} the first's, {second:4.0%} the second's"
    for crossover, (first, second) in enumerate(wins, 1)))
if able:
    lesson.check("parting at layer 2: by how much the second's class wins more often",
                 max(0.0, wins[1, 1] - wins[1, 0]), 0.0, "trained", 0.0,
                 why="4 runs: it wins less often, by .3 or more")
    lesson.check("parting at layer 5, not 1: by how much the first's class wins less often",
                 max(0.0, wins[0, 0] - wins[4, 0]), 0.0, "trained", 0.0,
                 why="6 runs: it wins more often, by .36 or more")
repeated = ops.broadcast_to(shown.reshape(40, 1, LATENT), (40, 10, LATENT))
repeated = pair.sample(repeated.reshape(400, LATENT)).reshape(40, 10, -1)
lesson.say(f"share of the pixels' variance that noise makes, w fixed: "
           f"{repeated.var(axis=1).mean() / repeated.var(axis=(0, 1)).mean():.1%}")


# %%
def as_ink(samples):
    """[-1, 1] to [0, 1], as `show` takes it."""
    return samples / 2 + 0.5


def figure_of_growth():
    """Samples of each level beside real images; the last level as it fades in."""
    fig, axes = plt.subplots(1, 4, figsize=(13, 3.9), layout="constrained")
    for level, (ax, samples) in enumerate(zip(axes, stages)):
        edge = samples.shape[-1]
        show(ax, as_ink(samples), 8, f"after level {level}: {edge}×{edge}, ψ = {PSI}")
    show(axes[3], as_ink(x_test[:40]), 8, "real")
    lesson.figure(fig, "growth")


def figure_of_fading():
    """The same z while the last level fades in, and when it is trained."""
    fig, axes = plt.subplots(1, len(pair.kept) + 1, figsize=(13, 3), layout="constrained")
    for ax, (alpha, samples) in zip(axes, pair.kept.items()):
        show(ax, as_ink(samples[:12]), 3, f"α = {alpha:.2g}")
    end = paint(pair.mean.model, [pair.mean.model.mapping(shown)] * 6, noise=shown_noise)
    show(axes[-1], as_ink(end[:12]), 3, "in the end")
    lesson.figure(fig, "fading")


def figure_of_mixing(count=8):
    """Coarse styles by row, fine ones by column."""
    fig, ax = plt.subplots(figsize=(6, 6.2), layout="constrained")
    left, top = one[:count], two[:count]
    table = np.full((count + 1, count + 1, colours, side, side), -1.0 if colours == 1 else 1.0)
    table[0, 1:], table[1:, 0] = mixed(top, top, 6), mixed(left, left, 6)
    for i in range(count):
        table[i + 1, 1:] = mixed(ops.broadcast_to(left[i:i + 1], left.shape), top, 2)
    show(ax, as_ink(table.reshape(-1, colours, side, side)), count + 1,
         "Layers 0, 1 from the left, layers 2 to 5 from above")
    for line in (ax.axhline, ax.axvline):
        line(side, color=THEORY, lw=1)
    lesson.figure(fig, "mixing")


def figure_of_truncation(count=5):
    """A few w from ψ = -1 to 1, a row each."""
    fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
    psis = np.linspace(-1, 1, 9)
    columns = np.stack([pair.sample(shown[:count], psi=psi) for psi in psis], axis=1)
    show(ax, as_ink(columns.reshape(-1, colours, side, side)), len(psis),
         "Truncation: ψ = 0 is the average image, -ψ the opposite\n")
    for i, psi in enumerate(psis):
        ax.text((i + 0.5) * (side + 1), -2, f"{psi:g}", ha="center")
    lesson.figure(fig, "truncation")


def figure_of_noise(count=5, factors=(0, 1, 3, 10, 30, 100)):
    """A few w, a row each, with the same noise at growing strength."""
    fig, ax = plt.subplots(figsize=(6, 5), layout="constrained")
    mean, noise = pair.mean.model, pair.g.noise(count, generator=rng)
    with mg.no_grad():
        w = truncate(mean.mapping(shown[:count]), pair.w_mean(), PSI)
    columns = np.stack([paint(mean, [w] * 6, noise=[factor * grain for grain in noise])
                        for factor in factors], axis=1)
    show(ax, as_ink(columns.reshape(-1, colours, side, side)), len(factors),
         "Noise, times its learned strength\n")
    for i, factor in enumerate(factors):
        ax.text((i + 0.5) * (side + 1), -2, f"{factor}", ha="center")
    lesson.figure(fig, "noise")


figure_of_growth()
figure_of_fading()
figure_of_mixing()
figure_of_truncation()
figure_of_noise()

# %%
lesson.step("""
    12. Exercises
      a. What does AdaIN make of planes with a single pixel? Could G start at 1×1?
      b. A level may also triple the side. What becomes of R1, and what of γ?
      c. Noise could be added once, at 7×7, and grow with the features. What variance does N(0, 1)
         have inside, after one bilinear upsampling?
    Answers
      a. x = m and v = 0, so y = b: neither x nor s is left, only the shift. Such a layer would have
         forgotten all but its own style.
      b. Nine pixels move a pooled one by 1/9 each: 9 (1/9)² = 1/9. So γ must be nine times as
         large.
      c. Along each axis the weights are 1/4 and 3/4: (1/16 + 9/16)² = .39. And neighbours are then
         alike: coarse noise makes coarse differences. Each scale needs its own.
""")
lesson.check("exercise a: AdaIN of single pixels is the shift",
             ops.adain(constant(draw(n, c, 1, 1)), constant(scale), constant(shift)).reshape(n, c),
             shift)
u, points = constant(draw(2, 4, 4)), constant(draw(5, 2, 12, 12))
lesson.check("exercise b: R1 of u·pool(x), relative to u·x",
             r1_penalty(lambda x: (ops.avg_pool2d(x, 3) * u).sum((1, 2, 3)), points)
             / r1_penalty(lambda x: (x * u).sum((1, 2, 3)), points[:, :, :4, :4]), 1 / 9)
lesson.check("exercise c: variance inside",  # of independent numbers: weights squared, summed
             (ops.upsample_bilinear(constant(np.eye(49).reshape(49, 1, 7, 7)))
              .numpy()[:, 0, 6, 6] ** 2).sum(), 0.390625)

lesson.finish()
