"""14. Image diffusion: a small U-Net, guidance, restoration, and diffusion in a latent space

The question. Lessons 10 to 13 took noise off points. An image is a point too, of hundreds
of coordinates that know their neighbours. Which network denoises it, how good is it, and must it
see every pixel?

You will count a U-Net's parameters and find what its skip connections carry; derive v, the target
that is good at every step, and the best linear denoiser, the mark that a network must beat; train
a class-conditional U-Net, ask it for digits, and let a judge read them; restore noisy images in one
shot; and run the whole diffusion again on codes of 24 numbers, for a table of costs.

You need: the diffusion and its loss (lessons 10, 11), samplers (12), guidance (13), PCA and the
autoencoder (02). Papers: Ronneberger et al. 2015 (U-Net); Ho et al. 2020 (DDPM); Salimans and Ho
2022 (v); Ho and Salimans 2022 (classifier-free guidance); Rombach et al. 2022 (latent diffusion).

Notation: x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε, with t = 1 .. T; d is the number of pixels, y the class, γ
the strength of the guidance. A loss is a mean over pixels.

Other images:  --data digits|mnist|fashion|shapes.  Images are halved to 16 x 16 pixels, so that
half a minute of training is enough for digits; of coloured shapes it makes blobs. --full takes
images as they are, and trains a wider network for much longer.
"""

# %%
import math
import time

import matplotlib.pyplot as plt
import numpy as np
from images import DATA, load, show
from lesson import FAKE, LEARNED, THEORY, Lesson

import minigen as mg
from minigen import losses, nn, ops, optim
from minigen.ema import EMA
from minigen.models.autoencoder import ConvAutoencoder
from minigen.models.denoiser import MLPDenoiser, drop_labels
from minigen.models.diffusion import eps_from_v, q_sample, simple_loss, v_from_eps, x0_from_eps
from minigen.models.guidance import classifier_free_guidance
from minigen.models.pca import PCA
from minigen.models.samplers import clipped, ddim, some_steps
from minigen.models.schedule import cosine_schedule
from minigen.models.unet import UNet
from minigen.training import Batches, minimise, train

lesson = Lesson("14_image_diffusion", __doc__, [DATA])
rng = lesson.rng
T = 1000
schedule = cosine_schedule(T)
WIDTHS, STEPS, BATCH = ((16, 32, 64), 6_000, 64) if lesson.full else ((8, 24, 64), 600, 32)
DROPPED = 0.2  # the share of images whose class is not told
TIMES = [50, 200, 400, 600, 800, 900]  # where losses are compared


def expect(name, got, want, tolerance, why):
    """A trained check, for the images and the length of training whose spread is known.
    For other images, and with --full, the number alone.
    """
    if lesson.args.data == "digits" and not lesson.full:
        lesson.check(name, got, want, "trained", tolerance, why=why)
    else:
        lesson.say(f"{name}: {np.round(got, 4)}")


def noise_like(x):
    """ε ~ N(0, 1) in the shape of x, on x's backend."""
    return mg.randn(*x.shape, generator=rng, dtype=x.dtype).to(x.backend)


# %%
lesson.step("""
    1. The images
    Drawn or real, they come with pixels in [0, 1]. The diffusion ends in N(0, I), whose mean is 0,
    and a clipping sampler must know the range. So all that follows has pixels in [-1, 1].
    By default they are also halved: a frame of background makes them 32 pixels wide if they are
    28, and the mean of each 2 x 2 pixels is one of 16 x 16.
""")


def prepared(x):
    """Images in [0, 1] as this lesson takes them: halved unless --full, and in [-1, 1]."""
    if not lesson.full:
        frame = (32 - x.shape[-1]) // 2
        x = np.pad(x, [(0, 0), (0, 0), (frame, frame), (frame, frame)])
        x = x.reshape(*x.shape[:2], 16, 2, 16, 2).mean(axis=(3, 5))
    return 2 * x - 1


images = load(lesson, *(60_000, 2_000) if lesson.full else (6_000, 1_000))
classes, null = len(images.names), len(images.names)  # the class after the last: no class
x_train, x_test = prepared(images.train), prepared(images.test)
channels, side = x_train.shape[1:3]
d = x_train[0].size
lesson.check("the images' range", [x_train.min(), x_train.max()], [-1.0, 1.0], tolerance=0.1)


def picture(x):
    """Pixels in [-1, 1], a Tensor or an array, as `show` takes them."""
    return (np.asarray(x.numpy() if isinstance(x, mg.Tensor) else x) + 1) / 2


def fit(model, loss, steps, lr, label, after=lambda i: None):
    """Adam on loss(), which takes its own batch. Gradients longer than 1 are shortened."""
    optimiser = optim.Adam(model.parameters(), betas=(0.9, 0.99))

    def step(i):
        optimiser.lr = lr * min(1.0, (i + 1) / 30, 2 * (1 - i / steps))
        value = loss()
        minimise(value, optimiser, model, max_norm=1.0)
        after(i)
        return {"loss": value}

    start = time.process_time()
    history = train(step, steps, label=label)
    return history, (time.process_time() - start) / steps


def judge_of(x, labels):
    """A convolutional classifier, trained on real images: it will read what we generate."""
    net = nn.Sequential(nn.Conv2d(channels, 16, 4, 2, 1, generator=rng), nn.SiLU(),
                        nn.Conv2d(16, 32, 4, 2, 1, generator=rng), nn.SiLU(), nn.Flatten(),
                        nn.Linear(32 * (side // 4) ** 2, classes, generator=rng))
    batches = Batches([x, labels], 64, rng)

    def loss():
        images, labels = next(batches)
        return losses.cross_entropy(net(images), labels)

    fit(net, loss, 2000 if lesson.full else 350, 4e-3, "judge")
    return net


def agreement(judge, x, labels):
    """The share of images in which the judge reads the label."""
    with mg.no_grad():
        read = judge(mg.Tensor(x)).numpy().argmax(axis=1)
    return float((read == labels).mean())


judge = judge_of(x_train, images.train_labels)
expect("the judge reads new real images", agreement(judge, x_test, images.test_labels),
       0.975, 0.02, "20 runs: .975, sd .0064")

# %%
lesson.step("""
    2. The U-Net, counted
    Down to a quarter of the side, up again, and a bridge at each size (models/unet.py).
      1. A convolution a → b with kernel k has a b k² + b parameters, at any image size.
      2. A block a → b: two of 3 x 3, a → b and b → b; AdaIN before each, a linear layer from the
         code of step and class to 2a and 2b numbers; and a 1 x 1 shortcut if a ≠ b.
      3. Products of numbers, in one image: a b for each kernel place and output pixel that meet in
         the image. On an axis of s pixels a kernel of 3 with padding 1 has 3s - 2 such meetings; a
         kernel of 4 with stride 2, down from s or up to s, has 2s - 2.
      4. The products grow with s², the parameters do not: at full size a filter costs 16 times
         what it costs at the bottom. So there are few of them at full size, and many below.
      5. The last layer starts at 0. The first guess is 0, whatever the image, and the first loss is
         E ε² = 1: the loss of knowing nothing.
""")


def taps(kernel, s):
    """The products of one kernel on an s x s image: 1 x 1, 3 x 3, or 4 x 4 with stride 2."""
    return {1: s, 3: 3 * s - 2, 4: 2 * s - 2}[kernel] ** 2


def unet_layers(widths, s):
    """(from, to, kernel, side) of each convolution of a U-Net, first to last."""
    sides = [s // 2**i for i in range(len(widths))]
    levels = list(zip(widths, widths[1:], sides, sides[1:]))
    layers = [(channels, widths[0], 3, s)]
    for a, b, s, half in levels:
        layers += [(a, b, 4, s), (b, b, 3, half), (b, b, 3, half)]
    layers += [(widths[-1], widths[-1], 3, sides[-1])] * 2
    for a, b, s, _ in levels[::-1]:
        layers.append((b, a, 4, s))
        if s != sides[0]:
            layers += [(2 * a, a, 3, s), (a, a, 3, s), (2 * a, a, 1, s)]
    return layers + [(2 * widths[0], channels, 3, sides[0])]


def unet_parameters(widths, s, classes, code=64):
    """By hand: all convolutions, what the code says to each AdaIN and to FiLM, and the code."""
    layers = unet_layers(widths, s)
    convolutions = sum(a * b * k * k + b for a, b, k, _ in layers)
    told = sum(a for a, _, k, s_ in layers if k == 3 and s_ < s) + 2 * widths[0]
    return convolutions + told * 2 * (code + 1) + 2 * (code**2 + code) + (classes + 1) * code


def products(layers):
    """The products of convolutions in one image."""
    return sum(a * b * taps(k, s) for a, b, k, s in layers)


net = UNet(channels, WIDTHS, classes, generator=rng)
lesson.check("the U-Net's parameters, by hand", sum(p.size for p in net.parameters()),
             unet_parameters(WIDTHS, side, classes))
ones = mg.ones(1, 1, 14, 14)
lesson.check("meetings of kernel and image: 3 x 3, 4 x 4 down, 4 x 4 up",
             [ops.conv2d(ones, mg.ones(1, 1, 3, 3), None, 1, 1).sum().item(),
              ops.conv2d(ones, mg.ones(1, 1, 4, 4), None, 2, 1).sum().item(),
              ops.conv_transpose2d(ones, mg.ones(1, 1, 4, 4), None, 2, 1).sum().item()],
             [taps(3, 14), taps(4, 14), taps(4, 28)])
first = mg.Tensor(x_train[:64])
t = schedule.draw_steps(64, rng)
lesson.check("the U-Net's first guess", net(first, t, 3).numpy(), 0.0)
lesson.check("its first loss is E ε² = 1",
             simple_loss(net, schedule, first, t, noise_like(first)), 1.0, "monte-carlo",
             n=first.size, standard_error=math.sqrt(2 / first.size))
whole = products(unet_layers(WIDTHS, side))
lesson.say(f"{unet_parameters(WIDTHS, side, classes):,} parameters; {whole:,} products an image. A "
           f"block of {WIDTHS[-1]} filters\nwould take {2 * WIDTHS[-1]**2 * taps(3, side):,} at "
           "full size, more than all of these together.")

# %%
lesson.step("""
    3. What the bridges carry
    Claim. Without skip connections, noise must pass through the bottom, and does not fit.
      1. Take t = T: x_t is all noise, and ε = x_t. The best denoiser copies its input.
      2. White noise has d numbers, none of which tells about another. A linear map through k < d
         numbers has rank k at most: at best a projection P on k directions.
      3. E|ε - Pε|² = tr(I - P) = d - k. So the loss is at least 1 - k/d, for any linear code.
      4. A U-Net of widths 8, 8, 8 has (d/16) · 8 = d/2 numbers at its bottom: half of the noise is
         lost. (With more there it could carry all; but the bottom is for what the image shows, not
         for the place of each grain.) Over the bridges a copy is short and easy.
    Both are trained for the same few steps to copy noise; they differ in the bridges alone.
""")


class Bridgeless(UNet):
    """The same layers, but 0 comes over the bridges."""

    def bridge(self, up, seen):
        return super().bridge(up, 0.0 * seen)


def copy_loss(kind):
    """The loss of a small U-Net at t = T, after a short training there."""
    net = kind(1, (8, 8, 8), generator=np.random.default_rng(lesson.seed))

    def loss():
        noise = mg.randn(16, 1, 16, 16, generator=rng)
        return losses.mse(net(noise, T), noise)

    history, _ = fit(net, loss, 200, 0.01, kind.__name__)
    return history.losses["loss"][-20:].mean()


k, d_small = 128, 256
projection = np.linalg.qr(rng.standard_normal((d_small, k)))[0]
left = np.eye(d_small) - projection @ projection.T
lesson.check("white noise through k of d numbers: 1 - k/d is lost",
             np.trace(left.T @ left) / d_small, 1 - k / d_small)
with_bridges, without = copy_loss(UNet), copy_loss(Bridgeless)
lesson.say(f"loss of copying noise, bridges {with_bridges:.3f}, none {without:.3f}")
expect("copying noise over the bridges: loss", with_bridges, 0.0, 0.005,
       "20 runs: .0006 to .0027")
expect("copying noise through the bottom: loss", without, 0.5, 0.02,
       "20 runs: .503, sd .0041")

# %%
lesson.step("""
    4. The mark to beat: the best linear denoiser
    Let x_0 have mean m and covariance U diag(λ) Uᵀ (PCA, lesson 02).
      1. Along one eigenvector x = √ᾱ a + √(1 - ᾱ) ε with Var a = λ, after taking off the mean. The
         best linear guess of a is w x, w = E[a x]/E[x²] = √ᾱ λ/(ᾱ λ + 1 - ᾱ): Wiener's filter.
      2. It leaves E(a - w x)² = λ - ᾱ λ²/(ᾱ λ + 1 - ᾱ) = λ (1 - ᾱ)/(ᾱ λ + 1 - ᾱ).
      3. A guess of x_0 is one of ε: ε - ε̂ = √(ᾱ/(1 - ᾱ)) (x̂_0 - x_0). So the loss in ε is the
         loss in x_0 times the signal-to-noise ratio:  mean over λ of  ᾱ λ/(ᾱ λ + 1 - ᾱ).
      4. No denoiser does better on a Gaussian with the images' mean and covariance. What a network
         does better it knows from beyond the covariance: that strokes are strokes.
      5. At large t noise hides all but mean and covariance, and there the linear denoiser becomes
         the best, unless one is told the class.
""")
x_fitted = x_train[:6_000]
pca = PCA.fit(x_fitted.reshape(len(x_fitted), -1), d)


def wiener(x, t):
    """The best linear guess of x_0, from x_t: float64 arrays (n, channels, h, w)."""
    signal, noise = schedule.signal[t], schedule.noise[t]
    weight = signal * pca.eigenvalues / (signal**2 * pca.eigenvalues + noise**2)
    code = pca.encode(x.reshape(len(x), -1) + (1 - signal) * pca.mean)
    return pca.decode(weight * code).reshape(x.shape)


def wiener_loss(t, eigenvalues=pca.eigenvalues):
    """Its loss in ε on the images it was fitted to, in closed form."""
    left = schedule.alpha_bar[t] * eigenvalues
    return float((left / (left + 1 - schedule.alpha_bar[t])).mean())


t, errors = 400, []
for _ in range(2):  # the same images twice: the difference is the noise's doing alone
    x_t = schedule.signal[t] * x_fitted + schedule.noise[t] * rng.standard_normal(x_fitted.shape)
    errors.append(schedule.snr[t] * ((wiener(x_t, t) - x_fitted) ** 2).mean(axis=(1, 2, 3)))
lesson.check(f"the best linear denoiser's loss at t = {t}", np.mean(errors), wiener_loss(t),
             "monte-carlo", n=2 * len(x_fitted),
             standard_error=np.std(errors[0] - errors[1]) / 2 / math.sqrt(len(x_fitted)))

# %%
lesson.step("""
    5. Training, with v for a target
    Claim. A network that guesses v = √ᾱ ε - √(1 - ᾱ) x_0 has a task of its own at every step.
      1. At small t, x_0 is in plain sight and ε is what must be found; v ≈ ε. At large t, ε is in
         plain sight, and what must be found is x_0; v ≈ -x_0.
      2. ε = √ᾱ v + √(1 - ᾱ) x_t and x_0 = √ᾱ x_t - √(1 - ᾱ) v: nothing is divided by a small
         number. From ε, x_0 would need a division by √ᾱ, which blows an error up.
      3. So |ε - ε̂|² = ᾱ |v - v̂|² for one and the same network: the mean of |v - v̂|² is the loss
         in ε, weighted by 1/ᾱ. A short training must learn the large t, where an image takes
         shape; the loss in ε all but ignores them.
      4. The class is dropped from one image in five: one network for ε(x, t, y) and ε(x, t).
    The weights are averaged as they go (EMA): at a large step size they jitter about a good place,
    and their average lies nearer to it. In the second half the step size falls to 0, to the same
    end.
""")


def as_eps(net):
    """The ε that a network of v means: a denoiser for every sampler."""
    return lambda x, t, y=None: eps_from_v(schedule, x, t, net(x, t, y))


def v_loss(net, x0, t, eps, y):
    """Mean |v - v̂|²."""
    x_t = q_sample(schedule, x0, t, eps)
    return losses.mse(net(x_t, t, y), v_from_eps(schedule, x_t, t, eps))


def some_points():
    """64 images, steps, noises, and a wrong guess of v, in float64."""
    x0 = mg.Tensor(x_train[:64], dtype="float64")
    return x0, rng.integers(1, 900, 64), noise_like(x0), noise_like(x0)


x0, t, eps, wrong = some_points()
x_t = q_sample(schedule, x0, t, eps)
v = v_from_eps(schedule, x_t, t, eps)
in_v = ((v - wrong) ** 2).mean((1, 2, 3)).numpy()
in_eps = ((eps - eps_from_v(schedule, x_t, t, wrong)) ** 2).mean((1, 2, 3))
lesson.check("the loss in ε = ᾱ times the loss in v", in_eps, schedule.alpha_bar[t] * in_v)


def test_loss(net):
    """The loss in v of new images, at steps spread evenly; the same noise for every network."""
    t = np.linspace(1, T, len(x_judged)).astype(int)
    with mg.no_grad():
        return v_loss(net, x_judged, t, eps_judged, y_judged).item()


def train_unet():
    """(the average, the losses, CPU seconds a step, some test losses of average and weights)."""
    average = EMA(net, 0.999 if lesson.full else 0.99)
    batches = Batches([x_train, images.train_labels], BATCH, rng)
    compared = []

    def loss():
        x0, labels = next(batches)
        y = drop_labels(labels.numpy(), null, DROPPED, rng)
        return v_loss(net, x0, schedule.draw_steps(BATCH, rng), noise_like(x0), y)

    def after(i):
        average.update()
        if i in STEPS // 20 * np.arange(6, 11):
            compared.append([test_loss(average.model), test_loss(net)])

    history, seconds = fit(net, loss, STEPS, 4e-3, "U-Net", after)
    return average.model, history, seconds, compared


x_judged, y_judged = mg.Tensor(x_test[:200]), images.test_labels[:200]
eps_judged = noise_like(x_judged)
unet, history, unet_step, compared = train_unet()
of_average, of_weights = np.mean(compared, axis=0)
lesson.say(f"{STEPS} steps of {BATCH} images, {unet_step * 1e3:.0f} ms of CPU each. Loss in v of "
           f"new images, five times\nbefore the step size falls: weights {of_weights:.4f}, their "
           f"average {of_average:.4f}; at the end {test_loss(unet):.4f}")
expect("the average's loss over that of the weights", of_average / of_weights, 0.95, 0.045,
       "20 runs: .950, sd .014; 1 would be no gain")


def eps_loss(t, y):
    """The U-Net's loss in ε on new images at step t, with their classes y, or None."""
    with mg.no_grad():
        x_t = q_sample(schedule, x_judged, t, eps_judged)
        return losses.mse(as_eps(unet)(x_t, t, y), eps_judged).item()


by_time = np.array([eps_loss(t, y_judged) for t in TIMES])
unasked = np.array([eps_loss(t, None) for t in TIMES])
linear = np.array([wiener_loss(t) for t in TIMES])
rows = [f"t = {t:3}: linear {a:.4f}, U-Net {b:.4f}, with the class {c:.4f}"
        for t, a, b, c in zip(TIMES, linear, unasked, by_time)]
lesson.say("Loss in ε of new images\n" + "\n".join(rows))
expect("loss over the linear one's, class told, the worst t", (by_time / linear).max(), 0.856,
       0.09, "20 runs: .856, sd .021")
expect("loss over the linear one's, class not told, t <= 400", (unasked / linear)[:3].max(), 0.757,
       0.065, "20 runs: .757, sd .019")


def figure_of_losses():
    """The loss while training, and by t beside the linear denoiser's."""
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
    history.plot(axes[0])
    axes[0].set(ylim=(0, 0.6), title="training: mean |v - v̂|²")
    axes[0].legend().remove()
    t = np.arange(1, T + 1)
    axes[1].plot(t, [wiener_loss(s) for s in t], color=THEORY, label="best linear (closed form)")
    axes[1].plot(TIMES, unasked, "o--", color=FAKE, label="U-Net, class not told")
    axes[1].plot(TIMES, by_time, "o-", color=LEARNED, label="U-Net, class told")
    axes[1].set(xlabel="t", ylabel="mean |ε - ε̂|²", yscale="log", ylim=(1e-4, 1.5),
                title="loss on new images, by step")
    axes[1].legend()
    lesson.figure(fig, "losses")


figure_of_losses()

# %%
lesson.step("""
    6. Sampling: ask for a class
    25 steps of DDIM; at each, x̂_0 is cut to [-1, 1], and ε̂ = ε_u + γ (ε_c - ε_u) (lesson 13).
      1. γ = 1 asks as the data would. What the network has not quite learned about the class shows.
      2. γ = 2 exaggerates: more images are read as asked, and they differ less from one another.
      3. The last step goes to t = 0, where no noise is left to add: the sample *is* the last x̂_0.
    The judge reads the samples. It was trained on real images, and never saw one of these.
""")
STOPS = some_steps(T, 25)


def generate(net, x, y, gamma, low=-1.0, high=1.0, watch=None):
    """x_0 of the classes y, from noise x; the codes of step 8 come by the same way."""
    eps = as_eps(net)
    if gamma == 1:
        def guided(x, t):
            return eps(x, t, y)
    else:
        guided = classifier_free_guidance(lambda x, t: eps(x, t, y), eps, gamma)
    return ddim(clipped(guided, schedule, low, high), schedule, x, STOPS, watch=watch)


asked = np.repeat(np.arange(classes), 10)
noise = mg.randn(len(asked), channels, side, side, generator=rng)
path = {}
start = time.process_time()
samples = {2: generate(unet, noise, asked, 2, watch=path.__setitem__)}
in_pixels = (time.process_time() - start) / len(asked)  # CPU seconds an image
samples[1] = generate(unet, noise, asked, 1)


def x0_guess(x_t, t, y, gamma=2):
    """x̂_0, cut to [-1, 1], as the sampler sees it at step t."""
    eps = classifier_free_guidance(lambda x, t: as_eps(unet)(x, t, y), as_eps(unet), gamma)
    with mg.no_grad():
        guess = x0_from_eps(schedule, x_t, t, eps(x_t, t))
    return ops.clip(guess, -1.0, 1.0)


last = x0_guess(path[STOPS[0]], STOPS[0], asked)
lesson.check("the sample is the last x̂_0: no noise is added", path[0].numpy(), last.numpy(),
             tolerance=1e-4)


def within(x):
    """The variance of a pixel inside a class, mean over pixels and classes."""
    x = np.asarray(x).reshape(classes, 10, -1)
    return float(x.var(axis=1, ddof=1).mean())


real = np.concatenate([x_test[images.test_labels == y][:10] for y in range(classes)])
share = {gamma: agreement(judge, x.numpy(), asked) for gamma, x in samples.items()}
spread = {gamma: within(x.numpy()) for gamma, x in samples.items()}
lesson.say(f"read as asked: {share[1]:.0%} at γ = 1, {share[2]:.0%} at γ = 2 (real images: "
           f"{agreement(judge, x_test, images.test_labels):.0%})\nvariance inside a class: "
           f"{spread[1]:.3f}, {spread[2]:.3f} (real images: {within(real):.3f})")
expect("read as asked, γ = 1", share[1], 0.761, 0.2, "20 runs: .761, sd .042")
expect("read as asked, γ = 2", share[2], 0.976, 0.072, "20 runs: .976, sd .014; ± 5 sd")
expect("variance inside a class: γ = 2 over γ = 1", spread[2] / spread[1], 0.892, 0.06,
       "20 runs: .892, sd .017")


def figure_of_samples():
    """One class a row: γ = 1, γ = 2, and real images."""
    fig, axes = plt.subplots(1, 3, figsize=(12.5, 4.5), layout="constrained")
    show(axes[0], picture(samples[1]), 10, f"γ = 1: {share[1]:.0%} read as asked")
    show(axes[1], picture(samples[2]), 10, f"γ = 2: {share[2]:.0%} read as asked")
    show(axes[2], picture(real), 10, "real, never seen in training")
    lesson.figure(fig, "samples")


def figure_of_strip():
    """From noise to three images, and below each x_t the x̂_0 of that moment.

    Of three classes, the sample that the judge reads with least doubt.
    """
    stops = STOPS[::-3]
    with mg.no_grad():
        read = ops.log_softmax(judge(samples[2]), axis=1).numpy()
    rows = []
    for y in (classes // 5, classes // 2, 4 * classes // 5):
        i = 10 * y + read[10 * y:10 * y + 10, y].argmax()
        x = [path[t][i:i + 1] for t in stops]
        guesses = [x0_guess(x_t, t, asked[i:i + 1]) for x_t, t in zip(x, stops)]
        rows += [picture(image[0]) for image in x + [path[0][i:i + 1]]]
        rows += [picture(image[0]) for image in guesses + [path[0][i:i + 1]]]
    fig, ax = plt.subplots(figsize=(9.5, 6), layout="constrained")
    show(ax, np.stack(rows), 10, "x_t, and below it the x̂_0 that it means")
    for column, t in enumerate(stops + [0]):
        ax.text((column + 0.5) * (side + 1), 6.1 * (side + 1), f"t = {t}", ha="center", va="top")
    lesson.figure(fig, "strip")


figure_of_samples()
figure_of_strip()

# %%
lesson.step("""
    7. Restoration: a denoiser denoises
    Claim. One look at x_t gives x̂_0 = E[x_0|x_t], the guess of least squared error.
      1. A loss in ε, or in v, is a weight times |x_0 - x̂_0|² (steps 4 and 5). Its least is at the
         conditional mean, whatever the weight (lesson 02).
      2. x_t/√ᾱ is the image under noise of variance (1 - ᾱ)/ᾱ = 1/SNR: the error to start from.
      3. A blur is linear and the same everywhere; Wiener's filter (step 4) is the best of all
         linear maps; E[x_0|x_t] is the best of all. So the errors must fall in this order.
      4. At large t a mean over many digits is grey where they differ: least error, no digit. A
         sampler walks on instead and ends at one of them: sharp, and further from the truth.
""")
NOISY = [200, 350, 500]


def blurred(x):
    """Gaussian blurs of images (n, channels, h, w), of several widths; no blur is the first."""
    places = np.arange(side)
    for width in (0.01, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5):
        kernel = np.exp(-np.subtract.outer(places, places) ** 2 / (2 * width**2))
        kernel /= kernel.sum(axis=1, keepdims=True)
        yield kernel @ x @ kernel.T


def one_shot(x_t, t):
    """x̂_0 from x_t by the U-Net, which is not told the class."""
    with mg.no_grad():
        return ops.clip(x0_from_eps(schedule, x_t, t, as_eps(unet)(x_t, t)), -1.0, 1.0).numpy()


def walk(x_t, t):
    """x_0 at the end of 15 steps of DDIM from x_t: the first 50 images."""
    denoiser = clipped(as_eps(unet), schedule, -1.0, 1.0)
    return ddim(denoiser, schedule, x_t[:50], some_steps(t, 15)).numpy()


def restore(t):
    """Name -> new images restored from their x_t."""
    x_t = q_sample(schedule, x_judged, t, eps_judged)
    seen = x_t.numpy().astype(np.float64)
    noisy = seen / schedule.signal[t]
    return {"noisy": noisy, "blur": min(blurred(noisy), key=squared_error),
            "Wiener": wiener(seen, t), "U-Net": one_shot(x_t, t), "walk": walk(x_t, t)}


def squared_error(x):
    """The mean over pixels and images; x may be the first few."""
    return float(((x - x_judged.numpy()[:len(x)]) ** 2).mean())


restored = {t: restore(t) for t in NOISY}
errors = {t: {name: squared_error(x) for name, x in restored[t].items()} for t in NOISY}
for t in NOISY:
    lesson.say(f"t = {t}, squared error a pixel: "
               + ", ".join(f"{name} {error:.4f}" for name, error in errors[t].items()))
    lesson.check(f"the noise to remove at t = {t}: 1/SNR", errors[t]["noisy"], 1 / schedule.snr[t],
                 "monte-carlo", n=x_judged.size,
                 standard_error=math.sqrt(2 / x_judged.size) / schedule.snr[t])


def worst(name, rival):
    """The error of one over that of another, at the t where it is largest."""
    return max(errors[t][name] / errors[t][rival] for t in NOISY)


expect("error: U-Net over Wiener, the worst of 3 t", worst("U-Net", "Wiener"), 0.848, 0.06,
       "20 runs: .848, sd .015")
expect("error: Wiener over the best blur, the worst of 3 t", worst("Wiener", "blur"), 0.49, 0.04,
       "20 runs: .490, sd .0084")
x_t = q_sample(schedule, x_judged, 700, eps_judged)
further = squared_error(walk(x_t, 700)) / squared_error(one_shot(x_t, 700)[:50])
expect("error: the walk over the one shot, t = 700", further, 1.245, 0.12,
       "20 runs: 1.245, sd .037")


def figure_of_restoration():
    """For each t a block of rows: noisy, blur, Wiener, one shot, walk, and the truth."""
    fig, axes = plt.subplots(1, len(NOISY), figsize=(12.5, 4.2), layout="constrained")
    for ax, t in zip(axes, NOISY):
        rows = [*(restored[t][name][:8] for name in restored[t]), x_judged.numpy()[:8]]
        show(ax, picture(np.concatenate(rows)), 8, f"t = {t}")
    labels = [*restored[NOISY[0]], "truth"]
    for i, name in enumerate(labels):
        axes[0].text(-2, (i + 0.5) * (side + 1), name, ha="right", va="center")
    lesson.figure(fig, "restoration")


figure_of_restoration()

# %%
lesson.step("""
    8. Latent diffusion: the same in 24 numbers
    An autoencoder (lesson 02) turns images into codes, the diffusion runs on these, and the decoder
    draws what comes out (Rombach et al. 2022).
      1. Codes are standardised: the diffusion ends in N(0, I), so it had better start at scale 1.
      2. The denoiser is a perceptron, with the same loss, sampler and guidance. A step multiplies
         in · out numbers a layer. The decoder is paid once an image, not once a step. (Of the
         U-Net, the table counts the convolutions; the layers that tell them the step add 1%.)
      3. A floor. Whatever code comes out, the image is one that the decoder can draw. Its distance
         to real images is least at the best code; the encoder's code is no better than that.
""")
CODE, HIDDEN, WIDTH = 24, (192, 192, 192), 16


def train_autoencoder():
    """The autoencoder, for pixels in [0, 1], its logits being the decoder's (lesson 02)."""
    model = ConvAutoencoder(channels, side, CODE, WIDTH, generator=rng)
    batches = Batches([(x_train + 1) / 2], 64, rng)

    def loss():
        x, = next(batches)
        return losses.bce_with_logits(model(x), x)

    fit(model, loss, 8000 if lesson.full else 400, 5e-3, "autoencoder")
    return model


def drawn(code):
    """What the decoder draws from codes, pixels in [-1, 1]."""
    with mg.no_grad():
        return 2 * ops.sigmoid(ae.decode(code)) - 1


def encoded(x):
    with mg.no_grad():
        return np.concatenate([ae.encode(mg.Tensor((x[i:i + 500] + 1) / 2)).numpy()
                               for i in range(0, len(x), 500)])


ae = train_autoencoder()
codes = encoded(x_train)
code_mean, code_std = (f(axis=0, dtype=np.float64).astype(np.float32)
                       for f in (codes.mean, codes.std))
standard = (codes - code_mean) / code_std
lesson.check("codes to learn from: mean 0, deviation 1",
             [standard.mean(axis=0, dtype=np.float64), standard.std(axis=0, dtype=np.float64)],
             np.repeat([[0.0], [1.0]], CODE, axis=1), tolerance=1e-5)


def train_latent():
    """(the average of the codes' denoiser, CPU seconds a step)."""
    net = MLPDenoiser(CODE, HIDDEN, classes, generator=rng)
    average = EMA(net, 0.99)
    batches = Batches([standard, images.train_labels], 128, rng)

    def loss():
        z, labels = next(batches)
        y = drop_labels(labels.numpy(), null, DROPPED, rng)
        return v_loss(net, z, schedule.draw_steps(128, rng), noise_like(z), y)

    _, seconds = fit(net, loss, 20_000 if lesson.full else 1200, 3e-3, "latent",
                     lambda i: average.update())
    return average.model, seconds


latent, latent_step = train_latent()
reach = float(abs(standard).max())
code_noise = mg.randn(len(asked), CODE, generator=rng)


def from_codes(gamma):
    """Images of the classes asked for, by way of codes."""
    z = generate(latent, code_noise, asked, gamma, -reach, reach).numpy()
    return drawn(mg.Tensor(z * code_std + code_mean)).numpy()


def best_codes(x, steps=150):
    """Codes found by descent, from the encoder's: what the decoder can draw nearest to x."""
    found = nn.Module()
    found.code = mg.Tensor(encoded(x), requires_grad=True)
    target = mg.Tensor(x)
    fit(found, lambda: losses.mse(2 * ops.sigmoid(ae.decode(found.code)) - 1, target), steps, 0.05,
        "best codes")
    return found.code.detach()


some = x_test[:50]
copies = drawn(mg.Tensor(encoded(x_test))).numpy()
by_encoder = float(((copies[:50] - some) ** 2).mean())
at_best = float(((drawn(best_codes(some)).numpy() - some) ** 2).mean())
lesson.say(f"squared error a pixel: the encoder's codes {by_encoder:.4f}, the best codes "
           f"{at_best:.4f}: what no latent model can give back\nthe judge reads "
           f"{agreement(judge, copies, images.test_labels):.0%} of the copies right")
expect("the best codes' error over the encoder's", at_best / by_encoder, 0.459, 0.12,
       "20 runs: .459, sd .031")
start = time.process_time()
latent_samples = {2: from_codes(2)}
in_codes = (time.process_time() - start) / len(asked)
latent_samples[1] = from_codes(1)
latent_share = {gamma: agreement(judge, x, asked) for gamma, x in latent_samples.items()}
expect("by codes: read as asked, γ = 1", latent_share[1], 0.903, 0.117,
       "20 runs: .903, sd .023; ± 5 sd")
expect("by codes: read as asked, γ = 2", latent_share[2], 0.992, 0.053,
       "20 runs: .992, sd .011; ± 5 sd")


def costs():
    """The table: what a network's evaluation and an image of γ = 2 cost, in pixels and in codes."""
    widths = (CODE + 64, *HIDDEN, CODE)
    perceptron = sum(a * b for a, b in zip(widths, widths[1:]))
    decoder = (CODE * 2 * WIDTH * (side // 4) ** 2 + 2 * WIDTH * WIDTH * taps(4, side // 2)
               + WIDTH * channels * taps(4, side))
    pixels = products(unet_layers(WIDTHS, side))
    evaluations = 2 * len(STOPS)
    return [
        ("numbers in the diffusion", f"{d}", f"{CODE}"),
        ("products, one evaluation", f"{pixels:,}", f"{perceptron:,}"),
        (f"products, an image ({evaluations} evaluations)", f"{evaluations * pixels:,}",
         f"{evaluations * perceptron + decoder:,}"),
        ("CPU ms, an image", f"{in_pixels * 1e3:.1f}", f"{in_codes * 1e3:.2f}"),
        ("CPU ms, a training step, each image", f"{unet_step / BATCH * 1e3:.2f}",
         f"{latent_step / 128 * 1e3:.3f}"),
        ("read as asked, γ = 1", f"{share[1]:.0%}", f"{latent_share[1]:.0%}"),
        ("read as asked, γ = 2", f"{share[2]:.0%}", f"{latent_share[2]:.0%}"),
        ("error that no sample can avoid", "0", f"{at_best:.4f}"),
    ]


rows = [("", "pixels", "codes"), *costs()]
table = "\n".join(f"{name:40} {a:>13} {b:>11}" for name, a, b in rows)
lesson.say(table)


def figure_of_latent():
    """Copies of real images, samples by way of codes, and the table."""
    fig, axes = plt.subplots(1, 3, figsize=(13.5, 4.3), layout="constrained",
                             width_ratios=[1, 1, 1.2])
    pairs = [x[i:i + 10] for i in range(0, 50, 10) for x in (some, copies)]
    show(axes[0], picture(np.concatenate(pairs)), 10, "new images, and below them their copies")
    show(axes[1], picture(latent_samples[2]), 10, "samples by way of codes, γ = 2")
    axes[2].set_axis_off()
    axes[2].text(0, 0.5, table.replace("\n", "\n\n"), family="monospace", fontsize=8, va="center")
    lesson.figure(fig, "latent")


figure_of_latent()

# %%
lesson.step("""
    9. Exercises
      a. The "images" are white noise: λ = 1 for every eigenvector. What is the loss in ε of the
         best denoiser at step t?
      b. A 3 x 3 convolution is moved from the bottom, 7 x 7, to the full size, 28 x 28. By what
         does its number of products grow?
      c. The U-Net starts with v̂ = 0. What is its first loss in v, at step t?
    Answers
      a. ᾱ/(ᾱ + 1 - ᾱ) = ᾱ. A white image cannot be told from noise: ε̂ = √(1 - ᾱ) x_t, and all that
         helps is knowing how much of x_t is noise.
      b. (3 · 28 - 2)²/(3 · 7 - 2)² = (82/19)² = 18.63; without the border it would be 16.
      c. E v² = ᾱ E ε² + (1 - ᾱ) E x_0² = ᾱ + (1 - ᾱ) E x_0², since E ε = 0 and ε is drawn apart.
""")
lesson.check("exercise a: t = 300", wiener_loss(300, np.ones(d)), schedule.alpha_bar[300])
lesson.check("exercise b", taps(3, 28) / taps(3, 7), 18.63, tolerance=0.005)
x0 = mg.Tensor(x_train[:500], dtype="float64")
squares = np.concatenate([(v_from_eps(schedule, q_sample(schedule, x0, 500, eps), 500, eps) ** 2)
                          .mean(1).numpy().reshape(len(x0), -1) for eps in [noise_like(x0)]])
lesson.check("exercise c: t = 500", squares.mean(),
             schedule.alpha_bar[500] + schedule.noise[500] ** 2 * (x0.numpy() ** 2).mean(),
             "monte-carlo", n=squares.size, standard_error=2 / math.sqrt(squares.size))

lesson.finish()
