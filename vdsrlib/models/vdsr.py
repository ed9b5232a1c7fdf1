"""The network of the paper's Figure 2: 20 convolutions that predict what interpolation lost."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vdsrlib.errors import InputError


class VDSR(nn.Module):
    """ILR -> (conv -> ReLU) x 19 -> conv -> residual; SR = ILR + residual (section 3.1, Proposed Network).

    Every convolution is 3 x 3 with zero padding, so the output has the input's size, and the
    receptive field is 2 * depth + 1. Layers are named as in the figures: ``conv.1`` ...
    ``conv.20``, ``relu.1`` ... ``relu.19``.

    Args:
        depth: number of convolutions, 2 or more.
        width: feature maps of every layer but the last, 1 or more.
        channels: 1 for luma, 3 for RGB.
        last_gain: factor on the last layer's initial weights. 1 is the paper's He initialisation; 0.01
            starts near SR = ILR, which lets Adam begin at a high learning rate.
        residual: False for the network that section 5.1 compares with: nothing is added to the last
            layer's output, which is SR itself.
    """

    def __init__(
        self,
        depth: int = 20,
        width: int = 64,
        channels: int = 1,
        last_gain: float = 1.0,
        residual: bool = True,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("depth", depth, 2),
            ("width", width, 1),
            ("channels", channels, 1),
        ):
            if value < least:
                raise InputError(f"The {name} is {value}; it must be at least {least}.")
        self.depth, self.width, self.channels = depth, width, channels
        self.global_skip = bool(residual)
        maps = [channels] + [width] * (depth - 1) + [channels]
        convs = [nn.Conv2d(maps[i], maps[i + 1], 3, padding=1) for i in range(depth)]
        for conv in convs:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")  # He et al. 2015
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
        with torch.no_grad():
            convs[-1].weight *= last_gain
        self.conv = nn.ModuleDict({str(i): conv for i, conv in enumerate(convs, start=1)})
        self.relu = nn.ModuleDict({str(i): nn.ReLU() for i in range(1, depth)})

    def layers(self) -> Iterator[tuple[str, nn.Conv2d | nn.ReLU]]:
        """Yield the layers by name, in order: conv.1, relu.1, conv.2 ... relu.19, conv.20.

        This is the one definition of the network's shape: what computes, draws or exports the network reads
        it here.
        """
        for i, conv in self.conv.items():
            assert isinstance(conv, nn.Conv2d)
            yield f"conv.{i}", conv
            if i in self.relu:
                relu = self.relu[i]
                assert isinstance(relu, nn.ReLU)
                yield f"relu.{i}", relu

    def residual(self, ilr: Tensor) -> Tensor:
        """Predict HR - ILR, the last layer's output; N x C x H x W in the protocol's range."""
        x = ilr
        for _, layer in self.layers():
            x = layer(x)
        return x

    def forward(self, ilr: Tensor) -> Tensor:
        """Compute SR, N x C x H x W as ILR; the sum keeps ILR's type (float32 under autocast)."""
        return ilr + self.residual(ilr) if self.global_skip else self.residual(ilr)


def receptive_field(depth: int) -> int:
    """Compute the side in pixels of the square that one output pixel sees (section 4.1): 41 for depth 20."""
    return 2 * depth + 1


def layer_table(model: VDSR) -> list[dict[str, object]]:
    """List the convolutions: name, input and output maps, weights, biases, receptive field so far."""
    convs = [(name, layer) for name, layer in model.layers() if isinstance(layer, nn.Conv2d)]
    return [
        {
            "layer": name,
            "in": conv.in_channels,
            "out": conv.out_channels,
            "weights": conv.weight.numel(),
            "biases": conv.out_channels,
            "receptive field": receptive_field(i),
            "He std": round(math.sqrt(2 / (9 * conv.in_channels)), 4),
        }
        for i, (name, conv) in enumerate(convs, start=1)
    ]
