"""A graph drawn as DOT text."""

import re

from minigen import Tensor, draw, grad


def leaf(value):
    return Tensor(value, requires_grad=True)


def nodes(text):
    """label -> (shape, colour) of every node drawn."""
    found = re.findall(r'n\d+ \[label="(.*?)", shape=(\w+), fillcolor="(#\w+)"\]', text)
    return {label: (shape, color) for label, shape, color in found}


def edges(text):
    labels = dict(re.findall(r'(n\d+) \[label="(.*?)"', text))
    return {(labels[a], labels[b]) for a, b in re.findall(r"(n\d+) -> (n\d+)", text)}


def test_the_graph_of_a_product_has_its_names_shapes_and_edges():
    w, x = leaf([1.0, 2.0]), Tensor([3.0, 4.0])
    text = draw((w * x).sum(), names={"w": w})
    assert {label: shape for label, (shape, _) in nodes(text).items()} == {
        "sum\\nscalar": "box", "mul\\n2": "box", "w\\n2": "ellipse", "constant\\n2": "ellipse"}
    assert edges(text) == {("w\\n2", "mul\\n2"), ("constant\\n2", "mul\\n2"),
                           ("mul\\n2", "sum\\nscalar")}


def test_the_text_is_well_formed_dot():
    text = draw(leaf([[1.0, 2.0]]) * 2.0)
    assert text.startswith("digraph {") and text.endswith("}") and text.count("{") == 1
    assert "1×2" in text


def test_forward_and_backward_nodes_have_two_colours():
    x = leaf([1.0, 2.0])
    z = (x * x).sum()
    first, = grad(z, x, create_graph=True)
    found = nodes(draw([first, z], forward=z, names={"x": x}))
    blue, orange = found["x\\n2"][1], found["add\\n2"][1]  # dz/dx = 1 x + 1 x
    assert blue != orange
    assert found["sum\\nscalar"][1] == blue and found["constant\\n2"][1] == orange


def test_each_node_is_drawn_once_and_the_same_graph_always_alike():
    def build():
        x = leaf([1.0])
        z = x
        for _ in range(40):
            z = z + z
        return draw(z)
    assert build() == build() and build().count("shape=box") == 40


def test_a_leaf_alone_is_drawn():
    assert nodes(draw(leaf([1.0]))) == {"1": ("ellipse", "#9ecae1")}
