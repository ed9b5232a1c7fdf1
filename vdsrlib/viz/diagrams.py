"""The network as a diagram."""

from matplotlib.figure import Figure
from torch import nn

from vdsrlib.models.vdsr import VDSR
from vdsrlib.viz.charts import COLOURS, WIDTH, _figure


def network_diagram(model: VDSR) -> Figure:
    """The paper's Figure 2: the layers in a row, and the way of ILR around them."""
    names = ["ILR"]
    for name, layer in model.layers():
        if isinstance(layer, nn.Conv2d):
            names.append(f"{name}\n3 × 3, {layer.in_channels} → {layer.out_channels}")
        else:  # in the box of its convolution
            names[-1] = names[-1].replace("\n", f"\n{name}\n")
    if model.depth > 6:
        names[3:-2] = ["…"]
    names += ["+", "SR"] if model.global_skip else ["SR"]
    figure, axes = _figure(1, 1, WIDTH, 2.2)
    axis, arrow = axes[0, 0], {"arrowstyle": "->", "color": "0.3"}
    for at, name in enumerate(names):
        shape, colour = ("circle", "0.3") if name == "+" else ("round,pad=0.4", COLOURS["conv" not in name])
        box = {"boxstyle": shape, "facecolor": "white", "edgecolor": colour}
        axis.text(at, 0, name, ha="center", va="center", fontsize=9, bbox=None if name == "…" else box)
        if at:
            axis.annotate("", (at - 0.38, 0), (at - 0.62, 0), arrowprops=arrow)
    if model.global_skip:
        plus = len(names) - 2
        axis.plot([0, 0, plus], [0.35, 0.9, 0.9], color="0.3", linewidth=1)
        axis.annotate("", (plus, 0.3), (plus, 0.9), arrowprops=arrow)
        axis.text(plus - 0.5, -0.25, "residual", ha="center", va="top", fontsize=9)
    axis.set(xlim=(-0.4, len(names) - 0.6), ylim=(-0.7, 1.1))
    title = f"VDSR: {'ILR + ' * model.global_skip}the result of {model.depth} convolutions"
    axis.set_title(title, fontsize=10)
    axis.axis("off")
    return figure
