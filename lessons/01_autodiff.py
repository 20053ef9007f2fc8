"""01. Autodiff: every gradient of this course, from one rule per operation

The question: a program computes one number, a loss, from a million parameters. How does the loss
change with each of them, at about the price of computing it once; and how do we know that the
answer is right?

Derived here: the chain rule as vector-Jacobian products, and why they run from back to front;
reverse mode in forty lines; why a gradient is added up, and in which order the graph is walked; how
far a difference quotient can be trusted; the transposes of broadcasting and of convolution; the
gradient of a gradient, with two ways to get it wrong; Adam's first step; and why batch norm has no
place in a WGAN-GP critic.

To have read: nothing but derivatives and matrix products.

Papers: Linnainmaa 1970 and Griewank and Walther 2008 (reverse mode); Odena, Dumoulin and Olah 2016
(checkerboards); Gulrajani et al. 2017 (the gradient penalty); Kingma and Ba 2015 (Adam); Ioffe and
Szegedy 2015, Ba, Kiros and Hinton 2016 (batch and layer norm).
"""

# %% Setup
import math
import re
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
from lesson import FAKE, LEARNED, REAL, THEORY, Lesson

import minigen as mg
from minigen import nn, ops, optim
from minigen.autodiff.draw import BLUE
from minigen.autodiff.gradcheck import STEP

lesson = Lesson("01_autodiff", __doc__)
rng = lesson.rng
EPS = np.finfo(np.float64).eps  # 2.2e-16, the distance from 1.0 to the next float64


def leaf(array):
    """A float64 Tensor whose gradient we may ask for."""
    return mg.Tensor(array, requires_grad=True, dtype="float64")


def constant(array):
    """A float64 Tensor through which no gradient flows."""
    return mg.Tensor(array, dtype="float64")


# %% Step 1: the chain rule, read from the left
lesson.step("""
    1. The chain rule is a product of matrices, and the cheap end is the loss
    Claim: n derivatives of one number cost about as much as the number, if we start at its end.

      1. A program is a chain  x → y = f(x) → z = h(y) → L,  with L a single number.
      2. A small change dx travels by Jacobians:  dL = J_L J_h J_f dx.  That is the chain rule.
      3. The product may be bracketed at will; only the price differs. Say x, y, z have n numbers.
      4. From the right, J_L (J_h J_f):  n × n times n × n is n³ multiplications, then n² more.
         That is forward mode: it carries dz/dx_i for every one of the n inputs at once.
      5. From the left, (J_L J_h) J_f:  J_L is one row, so each product is n².  Reverse mode.
      6. So we never need a Jacobian. All that we need of f is the map  g ↦ g J_f,  from the
         gradient in y to the gradient in x: its vector-Jacobian product, its vjp.
      7. With one input and n outputs it is the other way round, and forward mode is the cheap one.
""")


def times(a, b):
    """The product of (matrix, multiplications spent so far) with another such pair."""
    (p, spent_p), (q, spent_q) = a, b
    return p @ q, spent_p + spent_q + p.shape[0] * p.shape[1] * q.shape[1]


n = 100
J_f, J_h, J_L = [(rng.standard_normal(shape) / 10, 0) for shape in [(n, n), (n, n), (1, n)]]
forward_mode, forward_price = times(J_L, times(J_h, J_f))
reverse_mode, reverse_price = times(times(J_L, J_h), J_f)

lesson.say(f"n = {n}: forward {forward_price:,} multiplications, reverse {reverse_price:,}")
lesson.check("both bracketings, one gradient", reverse_mode, forward_mode)
lesson.check("forward costs (n + 1)/2 times reverse", forward_price / reverse_price, (n + 1) / 2)


# %% Step 2: reverse mode in forty lines
lesson.step("""
    2. Reverse mode from nothing
    Claim: a value that knows its parents, and one vjp for each of them, is enough.

      1. z = a + b:    dz = da + db            the vjps are  g ↦ g  and  g ↦ g.
      2. z = a b:      dz = b da + a db        g ↦ g b  and  g ↦ g a.
      3. z = tanh x:   dz = (1 − z²) dx        g ↦ g (1 − z²).
      4. Start with the gradient of the output in itself, 1. Take the values from the last to
         the first, and hand every parent its vjp of what the value itself has got.
      5. A vjp is written with + and × on values, not on bare numbers: so a gradient is a value
         too, with parents of its own, and has gradients itself. Step 8 lives on this.
""")


class Value:
    """A number, and what it was made from: pairs (parent, vjp)."""

    def __init__(self, number, parents=()):
        self.number = number
        self.parents = parents

    def __add__(self, other):
        return Value(self.number + other.number, [(self, lambda g: g),
                                                  (other, lambda g: g)])

    def __mul__(self, other):
        return Value(self.number * other.number, [(self, lambda g: g * other),
                                                  (other, lambda g: g * self)])


def tanh(x):
    z = Value(math.tanh(x.number))
    z.parents = [(x, lambda g: g * (Value(1.0) + Value(-1.0) * z * z))]
    return z


def last_to_first(output):
    """The output and all behind it, each value before the values that it was made from."""
    done = []

    def visit(value):
        if value not in done:
            for parent, _ in value.parents:
                visit(parent)
            done.append(value)

    visit(output)
    return done[::-1]


def gradients(values):
    """The gradient of values[0] in each of the values, which come in the order of the walk."""
    found = {values[0]: Value(1.0)}
    for value in values:
        for parent, vjp in value.parents:
            g = vjp(found[value])
            found[parent] = found[parent] + g if parent in found else g
    return found


# %% ... checked against a closed form, and against what the function does
lesson.step("""
    Is it right? A function whose derivatives we can write down: z = x t with t = tanh(x y).

      1. dz/dx   = t + x y (1 − t²)            x is used twice: two terms.
      2. dz/dy   = x² (1 − t²)
      3. d²z/dx² = 2 y (1 − t²) − 2 x y² t (1 − t²)
      4. And with no calculus at all: (z(x + h) − z(x − h)) / 2h, right to about h² (step 6).
""")


def z_of(x, y):
    return x * tanh(x * y)


a, b = rng.uniform(0.3, 1.5, size=2)
x, y = Value(a), Value(b)
first = gradients(last_to_first(z_of(x, y)))
second = gradients(last_to_first(first[x]))
t = math.tanh(a * b)
toy = [first[x].number, first[y].number, second[x].number]
by_hand = [t + a * b * (1 - t**2),
           a**2 * (1 - t**2),
           2 * b * (1 - t**2) - 2 * a * b**2 * t * (1 - t**2)]
h = 1e-5
quotient = (z_of(Value(a + h), y).number - z_of(Value(a - h), y).number) / (2 * h)

lesson.check("toy engine: dz/dx, dz/dy, d²z/dx²", toy, by_hand)
lesson.check("toy engine and the difference quotient", first[x].number, quotient,
             why="h²/6 |z'''| + rounding/h is under 3e-10 here")


# %% Step 3: add up, and in the right order
lesson.step("""
    3. Two ways to get the walk wrong
    Claim: gradients are added where a value is used twice; and a value waits for all its users.

      1. L(y₁, y₂) with y₁ = y₂ = a:  dL/da = ∂L/∂y₁ + ∂L/∂y₂.  Every use adds its own share.
      2. For z = x x, "=" in the place of "+=" leaves the last share alone: x instead of 2x.
      3. A diamond: z = q + p with p = q q and q = x x.  z = x² + x⁴, dz/dx = 2x + 4x³.  q has two
         users, z and p.
      4. First come, first served: from z we meet q, then p. So q passes its gradient on to x while
         it still lacks the share from p: we lose 4x³ and get 2x. Nothing is raised.
      5. The cure is a topological order: put a value on the list after all that it was made from,
         then read the list backwards.
""")


def first_come(output):
    """WRONG: the values in the order in which we happen to meet them."""
    met = [output]
    for value in met:
        for parent, _ in value.parents:
            if parent not in met:
                met.append(parent)
    return met


def diamond(x):
    square = x * x
    return square + square * square


x = Value(a)
overwritten = {parent: vjp(Value(1.0)).number for parent, vjp in (x * x).parents}
too_early = gradients(first_come(diamond(x)))[x].number
in_order = gradients(last_to_first(diamond(x)))[x].number
right = 4 * a**3 + 2 * a

lesson.say(f"x = {a:.4f}: first come {too_early:.4f}, in order {in_order:.4f}")
lesson.check("'=' for '+=': x² gets the gradient x", overwritten[x], a)
lesson.check("first come, first served: x⁴ + x² gets 2x", too_early, 2 * a)
lesson.check("in topological order: 4x³ + 2x", in_order, right)


# %% Step 4: minigen's engine is the same idea
lesson.step("""
    4. The library's engine, and its graph
    Claim: minigen is these forty lines with arrays in the place of numbers.

        here                  there
        Value                 Tensor; its parents are in tensor.node, which is an Op
        the lambdas           Op.vjp, made of ops: so gradients have gradients there too
        last_to_first         nodes_between, which keeps only what leads to the inputs asked for
        gradients             walk, behind mg.grad(z, x) and z.backward()

      1. The same function has the same derivatives, to the last digits.
      2. The diamond of step 3 comes out right, whichever term is written first.
      3. Our visit calls itself once for each link of a chain, and Python gives up after about
         1,000. The library keeps a stack of its own: 20,000 multiplications by c are no
         trouble, with derivative c^20000.
""")

x, y = leaf(a), leaf(b)
z = x * (x * y).tanh()
one = constant(1.0)  # the gradient of z in itself, where the way back starts
g_x, g_y = mg.grad(z, [x, y], one, create_graph=True)
g_xx, = mg.grad(g_x, x, retain_graph=True)

square = x * x
diamonds = [square + square * square, square * square + square]
either_way = [mg.grad(diamond, x, retain_graph=True)[0].item() for diamond in diamonds]

c = 0.9999
chain = x
for _ in range(20_000):
    chain = chain * c
g_chain, = mg.grad(chain, x)

lesson.check("minigen: dz/dx, dz/dy, d²z/dx²", [g_x.item(), g_y.item(), g_xx.item()], by_hand)
lesson.check("minigen and the toy engine agree", [g_x.item(), g_y.item(), g_xx.item()], toy)
lesson.check("minigen: the diamond, either way", either_way, right)
lesson.check("minigen: a chain of 20,000", g_chain, c**20_000)

# %% ... drawn: mg.draw writes a graph as text, for `dot -Tsvg` and many web pages
names = {"x": x, "y": y, "z": z, "dz/dx": g_x, "dz/dy": g_y}
lesson.step("The graph of z, as DOT text (the figure adds the way back)")
lesson.say(mg.draw(z, names=names))


def read_dot(dot):
    """Label and colour of each node, and the edges, from the text of mg.draw."""
    label, color = {}, {}
    described = re.findall(r'(n\d+) \[label="(.*)", shape=\w+, fillcolor="(.*)"\]', dot)
    for node, text, fill in described:
        label[node] = text.removesuffix("\\nscalar").replace("\\n", "\n")
        color[node] = fill
    return label, color, re.findall(r"(n\d+) -> (n\d+)", dot)


def place(color, edges):
    """Where each node goes: the way out from left to right, the way back below it and leftwards."""
    rank = dict.fromkeys(color, 0)
    for _ in color:
        for start, end in edges:
            if color[start] == color[end]:
                rank[end] = max(rank[end], rank[start] + 1)
    last = max(rank[node] for node in rank if color[node] == BLUE)
    depth = {}  # how far from the middle: level with its parents, and clear of its neighbours
    taken = Counter()
    for node in sorted(color, key=rank.get):
        level = [depth[start] for start, end in edges if end == node and start in depth
                 and color[start] == color[node]]
        column = (color[node], rank[node])
        depth[node] = max(taken[column], np.mean(level) if level else 0)
        taken[column] = depth[node] + 1
    return {node: (rank[node], 0.6 + depth[node]) if color[node] == BLUE
            else (last - rank[node], -0.6 - depth[node]) for node in color}


def plot_graph(ax, dot):
    """The graph of mg.draw's text, laid out for a gradient: out above, back below."""
    label, color, edges = read_dot(dot)
    position = place(color, edges)
    for node, text in label.items():
        box = dict(boxstyle="round,pad=0.45", facecolor=color[node], edgecolor="none")
        ax.text(*position[node], text, ha="center", va="center", bbox=box, zorder=2)
    for start, end in sorted(set(edges)):
        crosses = color[start] != color[end]
        arrow = dict(arrowstyle="->", shrinkA=18, shrinkB=18, color="0.8" if crosses else "0.25",
                     connectionstyle=f"arc3,rad={0.3 if crosses else 0.1}")
        ax.annotate("", position[end], position[start], arrowprops=arrow, zorder=1)
    columns, rows = zip(*position.values())
    ax.set(xlim=(min(columns) - 0.5, max(columns) + 0.5), ylim=(min(rows) - 0.5, max(rows) + 0.5))
    ax.axis("off")


names["dz/dz"] = one
fig, ax = plt.subplots(figsize=(9, 5))
plot_graph(ax, mg.draw([z, g_x, g_y], forward=z, names=names))
ax.set_title("z = x tanh(x y): the way out, and the way back to its gradient\n"
             "grey: a value of the way out that a vjp needs")
lesson.figure(fig, "graph")


# %% Step 5: broadcasting and its transpose
lesson.step("""
    5. Broadcasting copies, so its vjp sums
    Claim: broadcast_to and sum_to are transposes of each other, ⟨B x, g⟩ = ⟨x, Bᵀ g⟩.

      1. An operation with z = A x, linear, has Jacobian A, and its vjp is g ↦ Aᵀ g.
      2. Broadcasting is linear: z = B x, where each row of B has a single 1, at the number that is
         copied to this place.
      3. Column j of B has a 1 for each copy of x_j; so (Bᵀ g)_j is the sum of g over the copies.
         It is the "+=" of step 3 again: a number that was copied was used several times.
      4. The transpose of the transpose is B: the vjp of sum_to is broadcast_to.
      5. In a layer  x W + b  over n samples, b is copied to each of them. Its gradient is the
         column sums of g, not g, and not their mean.

    minigen writes this down once, in the walk: whatever gradient comes out of a vjp is summed to
    the shape of the value it belongs to.
""")

x = leaf(rng.standard_normal((3, 1)))
g = leaf(rng.standard_normal((2, 3, 4)))
there = (ops.broadcast_to(x, g.shape) * g).sum()
back = (x * ops.sum_to(g, x.shape)).sum()

x, W, bias = [leaf(rng.standard_normal(shape)) for shape in [(5, 3), (3, 2), (2,)]]
g = constant(rng.standard_normal((5, 2)))
g_bias, = mg.grad(x @ W + bias, bias, g)
g_copies, = mg.grad(ops.sum_to(x, (1, 3)), x, constant([[1.0, 2.0, 3.0]]))

lesson.check("⟨broadcast x, g⟩ = ⟨x, sum_to g⟩", there, back)
lesson.check("the gradient of a bias: column sums", g_bias, g.numpy().sum(0))
lesson.check("the gradient through a sum: copies", g_copies, np.tile([1.0, 2.0, 3.0], (5, 1)))


# %% Step 6: how far can a difference quotient be trusted?
lesson.step("""
    6. gradcheck, and the V of its error
    Claim: a difference quotient has a best step; at it, some 10 or 11 digits of 16 are right.

      1. f(x ± h) = f ± h f' + h²/2 f'' ± h³/6 f''' + ...
      2. One-sided:  (f(x + h) − f(x)) / h       = f' + h/2 f'' + ...      wrong by O(h).
         Central:    (f(x + h) − f(x − h)) / 2h  = f' + h²/6 f''' + ...    wrong by O(h²).
      3. Each f is rounded, by up to about ε |f| with ε = 2.2e-16; divided by h, that is ε |f| / h.
      4. So the error is about h²/6 + ε/h (for f = exp, relative). Its derivative h/3 − ε/h² is 0 at
         h = ∛(3ε) = 8.7e-6, where the error is about 4e-11. Larger steps: the formula is wrong.
         Smaller steps: the digits are gone. On log-log axes that is a V.
      5. In float32, ε = 1.2e-7: the best step is 0.007, and 5 digits is all there is. Therefore
         gradcheck takes float64 only. Its step is 1e-5.
      6. For f = exp all derivatives are e^x, so the first branch is known exactly:
         central / e^x = sinh(h)/h,  one-sided / e^x = (e^h − 1)/h.
""")


def central(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


def one_sided(f, x, h):
    return (f(x + h) - f(x)) / h


h = 2.0 ** -np.arange(1, 48)  # at x = 1, powers of two make x ± h exact
h32 = h[:22].astype(np.float32)
error = np.abs(central(np.exp, 1.0, h) / math.e - 1)
error_one_sided = np.abs(one_sided(np.exp, 1.0, h) / math.e - 1)
error32 = np.abs(central(np.exp, np.float32(1), h32) / math.e - 1)
bound = np.sinh(h) / h - 1 + 2 * EPS / h  # two exps, each right to one unit in its last place

lesson.say(f"smallest error: central {error.min():.0e}, one-sided {error_one_sided.min():.0e}, "
           f"central in float32 {error32.min():.0e}")
lesson.check("central quotient of exp, h = 1/8", central(np.exp, 1.0, 1 / 8) / math.e,
             math.sinh(1 / 8) * 8)
lesson.check("one-sided quotient of exp, h = 1/8", one_sided(np.exp, 1.0, 1 / 8) / math.e,
             math.expm1(1 / 8) * 8)
lesson.check("steps with more error than step 6 allows", np.sum(error > bound), 0)

# %% ... drawn
fig, ax = plt.subplots(figsize=(7.5, 4.8))
ax.loglog(h, error_one_sided, ".-", color=FAKE, label="one-sided")
ax.loglog(h, error, ".-", color=REAL, label="central")
ax.loglog(h32, error32, ".-", color=LEARNED, label="central, float32")
ax.loglog(h, h**2 / 6 + EPS / h, color=THEORY, lw=1, label="h²/6 + ε/h")
ax.loglog(h, h / 2 + EPS / h, color=THEORY, lw=1, ls=":", label="h/2 + ε/h")
ax.axvline(STEP, color="0.8", zorder=0)
ax.text(STEP * 1.2, 0.3, "gradcheck's step", color="0.4")
ax.set(xlabel="step h", ylabel="relative error of the derivative of exp at 1", ylim=(1e-13, 2))
ax.set_title("Too large a step: wrong formula. Too small: no digits left")
ax.legend(loc="lower left", framealpha=1)
lesson.figure(fig, "difference_quotients")

# %% ... gradcheck at work
lesson.step("""
    gradcheck at work
    mg.gradcheck compares ⟨vjp(u), v⟩ with ⟨u, f(x + hv) − f(x − hv)⟩ / 2h, for random unit u and
    v, and along every axis where there are few; order=2 does the same with the gradient's
    gradient. Half a gradient, x · detach(x) for x², does not get by.
""")


def passes(f, *inputs):
    """Does gradcheck find f's gradient and its gradient right? If not, say what it found."""
    try:
        return mg.gradcheck(f, inputs, order=2)
    except (mg.GradcheckError, ValueError) as error:
        lesson.say(f"{error}")
        return False


x, w = [leaf(rng.uniform(0.5, 1.5, size=(4, 3))) for _ in range(2)]
b = leaf(rng.standard_normal(4))
half = passes(lambda x: x * x.detach(), x)
lesson.check("gradcheck lets half a gradient pass (0: no)", half, 0)

cases = {
    "product and quotient": passes(lambda x, w: x * w - w / x, x, w),
    "a layer with its bias": passes(lambda x, w, b: (x @ w.T + b).tanh(), x, w, b),
    "mean and variance": passes(lambda x: x.mean(0) * x.var(0), x),
    "exp, and a sum of logs": passes(lambda x, w: x.exp() + ops.logsumexp(w, 0), x, w),
    "a row taken twice, and axes turned":
        passes(lambda x: (x[[0, 0, 2]] ** 2).reshape(3, 3, 1).transpose(1, 2, 0), x),
}
for name, passed in cases.items():
    lesson.check(f"gradcheck: {name}", passed, 1)


# %% Step 7: convolution
lesson.step("""
    7. The convolution and its adjoint
    Claim: a convolution gathers patches, its vjp stamps them back: ⟨conv x, g⟩ = ⟨x, convᵀ g⟩.

      1. y[n,o,a,b] = Σ_cij  w[o,c,i,j] x[n,c, s a + i, s b + j]:  kernel w, stride s. (What the
         field calls a convolution is a correlation: the kernel is not turned round.)
      2. y is linear in x. So ⟨conv x, g⟩ = ⟨x, convᵀ g⟩ for some linear convᵀ, and by step 5
         that is the vjp. Sort the same sum by the elements of x to see what it is:
      3. Σ_noab g[n,o,a,b] y[n,o,a,b] = Σ_ncpq x[n,c,p,q] · (sum of g[n,o,a,b] w[o,c,i,j] over all
         o, a, b, i, j with s a + i = p and s b + j = q).
      4. In words: each element of g stamps the kernel, times itself, at stride s into an empty
         image, and overlapping stamps add. This is the transposed convolution, a generator's
         upsampling; the shape goes the other way, the weights stay.
      5. y is linear in w as well: ⟨conv x, g⟩ = ⟨w, g_w⟩. One number, three ways.
""")


def conv2d_by_patches(x, w, b=None, stride=1, padding=0):
    """x (N,C,H,W), w (O,C,kh,kw): every patch, flat, times every kernel, flat."""
    n, _, _, _ = x.shape
    o, _, kh, kw = w.shape
    x = ops.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    rows = range(0, x.shape[2] - kh + 1, stride)
    columns = range(0, x.shape[3] - kw + 1, stride)
    patches = [x[:, :, p:p + kh, q:q + kw].reshape(n, -1) for p in rows for q in columns]
    y = ops.stack(patches, axis=1) @ w.reshape(o, -1).T  # (N, places, O)
    y = y.transpose(0, 2, 1).reshape(n, o, len(rows), len(columns))
    return y if b is None else y + b.reshape(-1, 1, 1)


def conv_transpose2d_by_stamps(x, w, b=None, stride=1, padding=0, output_padding=0):
    """x (N,C,H,W), w (C,O,kh,kw): every element of x stamps its kernel; overlaps add."""
    n, c, height, width = x.shape
    _, o, kh, kw = w.shape
    shape = (n, o, (height - 1) * stride + kh + output_padding,
             (width - 1) * stride + kw + output_padding)
    y = mg.zeros(*shape, dtype=x.dtype)
    for p in range(height):
        for q in range(width):
            stamp = (x[:, :, p, q] @ w.reshape(c, -1)).reshape(n, o, kh, kw)
            rows = slice(p * stride, p * stride + kh)
            columns = slice(q * stride, q * stride + kw)
            y = y + ops.scatter(stamp, (slice(None), slice(None), rows, columns), shape)
    y = y[:, :, padding:shape[2] - padding, padding:shape[3] - padding]
    return y if b is None else y + b.reshape(-1, 1, 1)


x = leaf(rng.standard_normal((2, 3, 7, 6)))
w = leaf(rng.standard_normal((4, 3, 3, 2)))
y = conv2d_by_patches(x, w, stride=2, padding=1)
g = constant(rng.standard_normal(y.shape))
g_x, g_w = mg.grad(y, [x, w], g)
stamped = conv_transpose2d_by_stamps(g, w, stride=2, padding=1)

signal, kernel = rng.standard_normal(9), rng.standard_normal(4)
line = conv2d_by_patches(constant(signal.reshape(1, 1, 1, 9)), constant(kernel.reshape(1, 1, 1, 4)))

lesson.say(f"x {x.shape}, w {w.shape}, stride 2, padding 1: y {y.shape}")
lesson.check("on one line, conv2d is np.correlate", line.reshape(-1), np.correlate(signal, kernel))
lesson.check("⟨conv x, g⟩ = ⟨x, convᵀ g⟩", (y * g).sum(), (x * stamped).sum())
lesson.check("⟨conv x, g⟩ = ⟨w, g_w⟩", (y * g).sum(), (w * g_w).sum())
lesson.check("the engine's gradient in x is convᵀ g", g_x, stamped)

# minigen has the pair, and the gradient in w, as three ops with kernels of their own
# (minigen/ops/conv.py). The same numbers, and from here on the ops.
lesson.check("ops.conv2d gathers patches", ops.conv2d(x, w, stride=2, padding=1), y)
lesson.check("ops.conv_transpose2d stamps",
             ops.conv_transpose2d(g, w, stride=2, padding=1), stamped)
lesson.check("ops.conv2d_weight_grad is g_w",
             ops.conv2d_weight_grad(x, g, kernel_size=(3, 2), stride=2, padding=1), g_w)

# %% ... how many numbers it learns
lesson.step("""
    A 4×4×3 → 10 convolution has 490 parameters
      1. Each of the 10 outputs has a kernel of 4·4·3 = 48 numbers, and a bias: 10 · 49 = 490.
      2. The image may have any size: it is the same 490 numbers at every place.
      3. A dense layer from 8×8×3 to the 5×5×10 numbers that come out needs 192·250 + 250 = 48,250.
""")
w, b = [leaf(rng.standard_normal(shape)) for shape in [(10, 3, 4, 4), (10,)]]
learned = []
for size in (4, 8):
    y = ops.conv2d(constant(rng.standard_normal((1, 3, size, size))), w, b)
    found = mg.grad(y, [w, b], constant(rng.standard_normal(y.shape)))
    learned.append(sum(np.count_nonzero(g.numpy()) for g in found))
    lesson.say(f"image {size}×{size}×3: output {y.shape[2]}×{y.shape[3]}×{y.shape[1]}, "
               f"{learned[-1]} numbers with a gradient")
dense = nn.Linear(8 * 8 * 3, y.size)
layer = nn.Conv2d(3, 10, kernel_size=4)
lesson.check("numbers with a gradient, 4×4×3 → 10", learned, 490)
lesson.check("parameters of nn.Conv2d(3, 10, 4)", sum(p.size for p in layer.parameters()), 490)
lesson.check("... of the dense layer in its place", sum(p.size for p in dense.parameters()), 48_250)

# %% ... and why upsampling leaves checkerboards
lesson.step("""
    Where the stamps overlap
      1. At stride s, tap i of input a lands on p = s a + i. So p is hit by the taps i with
         i ≡ p (mod s), of i = 0 .. k−1: ⌈k/s⌉ of them for some p, ⌊k/s⌋ for others.
      2. These are equal just if s divides k. k = 3, s = 2: 1, 2, 1, 2, ... along an axis, and 1, 2
         or 4 in the plane: a checkerboard before anything is learned. k = 4, s = 2: always 4.
      3. Hence generators use k = 4, s = 2 (or copy pixels first, and convolve at stride 1).
""")


def overlaps(k, s, size=6):
    """How many stamps lie on each pixel, for a k × k kernel at stride s."""
    ones = mg.ones(1, 1, size, size)
    return ops.conv_transpose2d(ones, mg.ones(1, 1, k, k), stride=s).numpy()[0, 0]


def inside(counts, k):
    """Without the border, where stamps are missing."""
    return counts[k - 1:1 - k or None, k - 1:1 - k or None]


pairs = [(k, s) for s in (2, 3) for k in range(s, 7)]
fewest = [inside(overlaps(k, s), k).min() for k, s in pairs]
most = [inside(overlaps(k, s), k).max() for k, s in pairs]
along = [2, 1, 2, 1, 2, 1, 2, 1, 2]
lesson.check("k = 3, s = 2: a checkerboard of 1, 2, 4", inside(overlaps(3, 2), 3),
             np.outer(along, along))
lesson.check("k = 4, s = 2: 4 everywhere inside", inside(overlaps(4, 2), 4), 4)
lesson.check("fewest stamps: ⌊k/s⌋²", fewest, [(k // s) ** 2 for k, s in pairs])
lesson.check("most stamps: ⌈k/s⌉²", most, [math.ceil(k / s) ** 2 for k, s in pairs])

fig, axes = plt.subplots(1, 2, figsize=(9, 4.9), layout="constrained")
for ax, k, word in zip(axes, (3, 4), ("uneven, a checkerboard", "even inside")):
    counts = overlaps(k, 2)
    ax.imshow(counts, cmap="Blues", vmin=0, vmax=5)
    for (p, q), count in np.ndenumerate(counts):
        ax.text(q, p, f"{count:.0f}", ha="center", va="center", fontsize=7,
                color="white" if count > 3 else "0.3")
    ax.set(title=f"k = {k}, s = 2: {word}", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
fig.suptitle("How many stamps of a transposed convolution lie on each pixel\n", fontsize=11)
lesson.figure(fig, "overlaps")


# %% Step 8: the gradient of a gradient
lesson.step("""
    8. The gradient of a gradient, and the silent way to get it wrong
    Claim: a vjp must be a program in its inputs; a number frozen inside it is a wrong second order.

      1. z = tanh x:  the first derivative is 1 − z², the second −2 z (1 − z²).
      2. Say the vjp keeps 1 − z² as a bare number. The first derivative stays right, to the last
         bit. But now it does not depend on x, and the second comes out as 0. Nothing is raised.
      3. The same with a statistic. v = 1/n Σ (x_i − m)²,  m the mean:  dv/dx_i = 2 (x_i − m)/n.
      4. Its own derivative: H_ij = 2/n (δ_ij − 1/n). The −1/n is there because m moves too.
      5. A test that needs no formula: shift all x together, and v does not change, nor does
         its gradient; so H·(1, ..., 1) = 0. With m frozen, H = 2/n δ_ij, and H·(1, ..., 1) = 2/n.
""")


def tanh_frozen(x):
    """WRONG: a tanh whose vjp holds a bare number."""
    z = Value(math.tanh(x.number))
    z.parents = [(x, lambda g: g * Value(1 - z.number**2))]
    return z


first, second = {}, {}
for f in (tanh, tanh_frozen):
    x = Value(a)
    first[f] = gradients(last_to_first(f(x)))[x]
    second[f] = gradients(last_to_first(first[f])).get(x, Value(0.0))  # is x behind it at all?
t = math.tanh(a)

n = 6
x = leaf(rng.standard_normal(n))
ones = constant(np.ones(n))
g, = mg.grad(x.var(), x, create_graph=True)
g_frozen = (x - x.mean().detach()) * (2 / n)
H_ones, = mg.grad(g, x, ones)
H_ones_frozen, = mg.grad(g_frozen, x, ones)

lesson.say(f"tanh at {a:.4f}: second derivative {second[tanh].number:.4f}, "
           f"frozen {second[tanh_frozen].number:.4f}")
lesson.check("tanh frozen: first derivative right", first[tanh_frozen].number, 1 - t**2)
lesson.check("tanh frozen: second derivative lost", second[tanh_frozen].number, 0)
lesson.check("tanh: second derivative", second[tanh].number, -2 * t * (1 - t**2))
lesson.check("variance: gradient, frozen or not", g_frozen, g)
lesson.check("variance frozen: H·(1, ..., 1) = 2/n", H_ones_frozen, 2 / n)
lesson.check("variance: H·(1, ..., 1) = 0", H_ones, 0)

# %% ... what it is for: the gradient penalty
lesson.step("""
    A loss that contains a gradient
      1. WGAN-GP asks of its critic f a gradient of length 1:  P = (|∇ₓf| − 1)².
      2. The simplest critic: f = w·x has ∇ₓf = w, for every x. So P = (|w| − 1)².
      3. d|w|/dw = w/|w|, thus  dP/dw = 2 (|w| − 1) w/|w|:  along w, outwards if |w| < 1.
      4. For the engine: f → ∇ₓf (a walk, with create_graph) → P → dP/dw (a walk through a walk).
         Without create_graph the first walk leaves numbers, with no way from P to w: an error.
      5. At w = 0, |w| = √(Σ w²) has gradient w/√(Σ w²) = 0/0. Reverse mode takes 1/(2·0) = ∞, then
         ∞ · 0 = NaN, and the next step of the optimiser makes every weight NaN.
      6. Choosing afterwards does not help, as 0 · NaN = NaN: the root must never see the 0.
         ops.safe_sqrt says: derivative 0 at 0, as |x| has in this library.
""")


def penalty(critic, root=ops.safe_sqrt, create_graph=True):
    """The mean of (|∇ₓf| − 1)² over some points, for a critic f."""
    x = leaf(points)
    g_x, = mg.grad(critic(x).sum(), x, create_graph=create_graph)
    return ((root((g_x * g_x).sum(1)) - 1.0) ** 2).mean()


points = rng.standard_normal((8, 5))
W, v = leaf(rng.standard_normal((5, 3))), leaf(rng.standard_normal(3))
w = leaf(rng.standard_normal(5))
length = np.linalg.norm(w.numpy())
P = penalty(lambda x: x @ w)
g_w, = mg.grad(P, w)
try:
    mg.grad(penalty(lambda x: x @ w, create_graph=False), w)
    refused = False
except ValueError as refusal:
    lesson.say(f"without create_graph: {refusal}")
    refused = True

origin = leaf(np.zeros(5))
with np.errstate(divide="ignore", invalid="ignore"):
    g_plain, = mg.grad(penalty(lambda x: x @ origin, root=ops.sqrt), origin)
g_safe, = mg.grad(penalty(lambda x: x @ origin), origin)
lesson.say(f"at w = 0: √ gives {g_plain.numpy()}, safe_sqrt {g_safe.numpy()}")

lesson.check("penalty of w·x: (|w| − 1)²", P, (length - 1) ** 2)
lesson.check("its gradient: 2 (|w| − 1) w/|w|", g_w, 2 * (length - 1) * w.numpy() / length)
lesson.check("gradcheck: the penalty of a two-layer critic",
             passes(lambda W, v: penalty(lambda x: (x @ W).tanh() @ v), W, v), 1)
lesson.check("no create_graph, no gradient: refused", refused, True)
lesson.check("at w = 0, √: how many of 5 are NaN", np.isnan(g_plain.numpy()).sum(), 5)
lesson.check("at w = 0, safe_sqrt: gradient 0", g_safe, 0)

# %% ... and in float32
lesson.step("""
    Precision
    All of this in float32 stays float32: 4 bytes a number. A Python number takes the precision of
    the array it meets; else a single 0.5 would double the memory of all that comes after it.
""")
x = mg.randn(3, 4, requires_grad=True)
y = (0.5 * x.tanh() + 1).var()
g, = mg.grad(y, x, create_graph=True)
gg, = mg.grad((g * g).sum(), x)
bytes_each = [value.dtype.itemsize for value in (y, g, gg)]
lesson.check("bytes of a value, a gradient, its gradient", bytes_each, 4)


# %% Step 9: Adam's first step
lesson.step("""
    9. What gradients are for: Adam's first step is lr · sign(g)
    Claim: Adam's step has the size of lr, whatever the size of the gradient.

      1. m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  both from 0.
      2. After one step m = (1 − β₁) g,  v = (1 − β₂) g²: averages that still lean towards 0.
      3. Undo that:  m̂ = m/(1 − β₁ᵗ),  v̂ = v/(1 − β₂ᵗ).  At t = 1:  m̂ = g, v̂ = g².
      4. θ moves by −lr m̂/(√v̂ + 1e-8) = −lr g/|g| = −lr sign(g).  For a constant g, so does each
         later step: m = (1 − β₁ᵗ) g, and m̂ = g again.
      5. Without the correction the first step is (1 − β₁)/√(1 − β₂) = 0.1/0.0316 = 3.16 lr, when
         we know least.
""")


def moved(optimizer, gradient, steps=1):
    """How far an optimiser moves θ from 0 under a constant gradient."""
    theta = leaf(np.zeros(len(gradient)))
    opt = optimizer([theta], lr=0.01)
    for _ in range(steps):
        opt.zero_grad()
        (theta * constant(gradient)).sum().backward()
        opt.step()
    return theta.numpy()


g = rng.choice([-1.0, 1.0], size=6) * 10.0 ** np.arange(1, 7)
lesson.say(f"""
    gradient  {g}
    SGD       {moved(optim.SGD, g)}
    Adam      {moved(optim.Adam, g)}
""")
lesson.check("Adam's first step is −lr sign(g)", moved(optim.Adam, g), -0.01 * np.sign(g))
lesson.check("10 steps under constant g: −10 lr sign(g)", moved(optim.Adam, g, 10),
             -0.1 * np.sign(g))
lesson.check("SGD's first step is −lr g", moved(optim.SGD, g), -0.01 * g)


# %% Step 10: who depends on whom
lesson.step("""
    10. Batch norm ties the samples of a batch together
    Claim: with batch norm dD(x_i)/dx_j ≠ 0 for i ≠ j; with layer norm it is 0.

      1. One feature over a batch of n:  z_i = (x_i − m)/s,  with m = Σ x_i/n,  s² = Σ (x_i − m)²/n.
      2. dm/dx_j = 1/n;   ds/dx_j = (x_j − m)/(n s) = z_j/n.   (With s² + 1e-5 for s², too.)
      3. dz_i/dx_j = (δ_ij − 1/n)/s − (x_i − m)/s² · z_j/n = (δ_ij − 1/n − z_i z_j/n)/s.
         For i ≠ j that is −(1 + z_i z_j)/(n s): every sample has a say in every other's score.
      4. WGAN-GP wants the length of dD(x_i)/dx_i, sample by sample. It is computed for all at once,
         as the gradient of Σ_i D(x_i) in x_j. It is dD(x_j)/dx_j only if the other terms are 0.
      5. How bad is it? For a linear D behind a batch norm, Σ_i z_i = 0 whatever x is: the gradient
         of the sum is exactly 0, while each sample's own is not. The penalty sees nothing.
      6. Layer norm takes m and s along the features of one sample: the Jacobian is block diagonal,
         and the trick of 4 is right. Therefore the critic may have it, but no batch norm.
""")


def normalise(x, axis):
    """Mean 0 and variance 1 along an axis: of the batch (0), or of the features (1)."""
    deviation = x - x.mean(axis, keepdims=True)
    return deviation / (x.var(axis, keepdims=True) + 1e-5).sqrt()


def jacobian(x, v, axis):
    """dD(x_i)/dx_j, (n, n, features), for D = v · normalised x; and the gradient of Σ_i D(x_i)."""
    D = normalise(x, axis) @ v
    rows = [mg.grad(D[i], x, retain_graph=True)[0].numpy() for i in range(len(x))]
    return np.stack(rows), mg.grad(D.sum(), x)[0].numpy()


n, features = 6, 4
x = leaf(rng.standard_normal((n, features)))
v = constant(rng.standard_normal(features))
by_batch, sum_by_batch = jacobian(x, v, axis=0)
by_layer, sum_by_layer = jacobian(x, v, axis=1)

same = np.eye(n, dtype=bool)
z = normalise(x, 0).numpy()
s = np.sqrt(x.numpy().var(0) + 1e-5)
want = v.numpy() * (same[:, :, None] - 1 / n - z[:, None] * z[None] / n) / s
own_by_batch = np.linalg.norm(by_batch[same], axis=1)

lesson.say(f"batch norm: |dD(x_i)/dx_i| from {own_by_batch.min():.3f} to "
           f"{own_by_batch.max():.3f}; |dD(x_i)/dx_j| up to "
           f"{np.linalg.norm(by_batch[~same], axis=1).max():.3f}; the sum's gradient 0")
lesson.check("batch norm: the whole Jacobian", by_batch, want)
lesson.check("batch norm: the gradient of Σ D is 0", sum_by_batch, 0)
lesson.check("layer norm: dD(x_i)/dx_j, i ≠ j", by_layer[~same], 0, tolerance=0.0)
lesson.check("layer norm: the gradient of Σ D is each one's own", sum_by_layer, by_layer[same])

fig, axes = plt.subplots(1, 2, figsize=(9, 4.9), layout="constrained")
titles = ("batch norm: everyone depends on everyone", "layer norm: each on itself alone")
for ax, J, title in zip(axes, (by_batch, by_layer), titles):
    size = np.linalg.norm(J, axis=2)
    ax.imshow(size, cmap="Blues", vmin=0, vmax=1.6 * size.max())
    for (i, j), number in np.ndenumerate(size):
        ax.text(j, i, f"{number:.2f}" if number else "0", ha="center", va="center", fontsize=9)
    ax.set(title=title, xlabel="j", ylabel="i", xticks=range(n), yticks=range(n))
    ax.spines[:].set_visible(False)
fig.suptitle("|dD(x_i)/dx_j|: how sample j moves the score of sample i\n", fontsize=11)
lesson.figure(fig, "norms")


# %% Exercises
lesson.step("""
    Exercises (the answers are in the next cell; try first)

      A. Give the toy engine exp. What are the first two derivatives of x e^x?
      B. softmax: z_i = e^{x_i}/Σ_k e^{x_k} has dz_i/dx_j = z_i (δ_ij − z_j). What is its vjp,
         without a matrix?
      C. Forward mode from reverse mode: u ↦ uJ is linear in u, so its own vjp is v ↦ J v. Compute
         J v for tanh(x W) by two walks.
      D. f = |x|⁴/4 has the Hessian H = |x|² I + 2 x xᵀ. Compute H v without a matrix.
      E. At stride 3, which kernel sizes up to 9 leave no checkerboard?
""")


# %% Answers
def exp(x):
    z = Value(math.exp(x.number))
    z.parents = [(x, lambda g: g * z)]
    return z


x = Value(a)
first = gradients(last_to_first(x * exp(x)))[x]
second = gradients(last_to_first(first))[x]
lesson.check("A. x e^x: (1 + x) e^x, (2 + x) e^x", [first.number, second.number],
             [(1 + a) * math.exp(a), (2 + a) * math.exp(a)])

x = leaf(rng.standard_normal(5))
g = constant(rng.standard_normal(5))
z = ops.softmax(x)
g_x, = mg.grad(z, x, g)
lesson.check("B. softmax: z (g − ⟨g, z⟩)", g_x, z * (g - (g * z).sum()))

x = leaf(rng.standard_normal(3))
W = constant(rng.standard_normal((3, 4)))
v = constant(rng.standard_normal(3))
y = (x @ W).tanh()
u = leaf(np.zeros(4))  # any u: the map is linear
uJ, = mg.grad(y, x, u, create_graph=True)
Jv, = mg.grad(uJ, u, v)
lesson.check("C. J v by two walks", Jv, (1 - y.numpy()**2) * (v.numpy() @ W.numpy()))

g, = mg.grad((x * x).sum() ** 2 * 0.25, x, create_graph=True)
Hv, = mg.grad((g * v).sum(), x)
r = x.numpy()
lesson.check("D. H v = |x|² v + 2 x ⟨x, v⟩", Hv, r @ r * v.numpy() + 2 * r * (r @ v.numpy()))

sizes = np.arange(1, 10)
even = [np.ptp(inside(overlaps(k, 3), k)) == 0 for k in sizes]
lesson.check("E. even at stride 3: just k = 3, 6, 9", even, sizes % 3 == 0)

# %% The table
lesson.finish()
