"""The project's networks in PyTorch: the peer of the step bench, and what the net fixtures are made with.

Input is [N, 1, H, W] with H time frames and W mel bands. Parameters carry the names that the program
gives its own, with the two branches of a block apart: stage1.block0.branch1.conv1.weight and so on.
"""
import torch
from torch import nn

ORDERS = ("preact", "preact-bn", "relu", "relu-bn")
STAGES = 3


class Shake(torch.autograd.Function):
    """a z1 + (1 - a) z2, whose backward pass takes b in the place of a. a and b: [N, 1, 1, 1] or scalars."""

    @staticmethod
    def forward(ctx, z1, z2, a, b):
        ctx.save_for_backward(b)
        return a * z1 + (1 - a) * z2

    @staticmethod
    def backward(ctx, g):
        (b,) = ctx.saved_tensors
        return b * g, (1 - b) * g, None, None


def conv(cin, cout, kernel, stride=1):
    layer = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


class Branch(nn.Module):
    def __init__(self, order, cin, cout, stride, norm, gamma0):
        super().__init__()
        if order.startswith("preact"):
            self.bn1 = norm(cin)
        self.relu1 = nn.ReLU()
        self.conv1 = conv(cin, cout, 3, stride)
        self.bn2 = norm(cout)
        self.relu2 = nn.ReLU()
        self.conv2 = conv(cout, cout, 3)
        if order.endswith("-bn"):
            self.bn3 = norm(cout)
            nn.init.constant_(self.bn3.weight, gamma0)

    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x


class Block(nn.Module):
    def __init__(self, order, cin, cout, stride, norm, gamma0):
        super().__init__()
        self.branch1 = Branch(order, cin, cout, stride, norm, gamma0)
        self.branch2 = Branch(order, cin, cout, stride, norm, gamma0)
        if stride != 1 or cin != cout:
            self.shortcut = nn.Sequential()
            if not order.startswith("preact"):
                self.shortcut.add_module("relu", nn.ReLU())
            self.shortcut.add_module("conv", conv(cin, cout, 1, stride))
            self.shortcut.add_module("bn", norm(cout))
        else:
            self.shortcut = nn.Identity()

    def forward(self, x, a, b):
        z1, z2 = self.branch1(x), self.branch2(x)
        z = Shake.apply(z1, z2, a, b) if self.training else (z1 + z2) / 2
        return self.shortcut(x) + z


class Network(nn.Module):
    def __init__(self, order, classes, width=32, blocks=2, gamma0=0.1, eps=1e-5, momentum=0.1):
        super().__init__()

        def norm(channels):
            return nn.BatchNorm2d(channels, eps, momentum)

        preact = order.startswith("preact")
        self.stem = nn.Sequential()
        self.stem.add_module("conv", conv(1, width, 3))
        if not preact:
            self.stem.add_module("bn", norm(width))
        cin = width
        for stage in range(STAGES):
            cout = width << stage
            group = nn.Module()
            for place in range(blocks):
                stride = 2 if stage > 0 and place == 0 else 1
                group.add_module(f"block{place}", Block(order, cin, cout, stride, norm, gamma0))
                cin = cout
            self.add_module(f"stage{stage + 1}", group)
        self.final = nn.Sequential()
        if order != "relu-bn":
            self.final.add_module("bn", norm(cin))
        self.final.add_module("relu", nn.ReLU())
        self.linear = nn.Linear(cin, classes)
        nn.init.uniform_(self.linear.weight, -(cin**-0.5), cin**-0.5)
        nn.init.zeros_(self.linear.bias)

    def blocks(self):
        return [block for stage in range(STAGES) for block in getattr(self, f"stage{stage + 1}").children()]

    def forward(self, x, alpha=None, beta=None):
        """Logits [N, classes]. alpha, beta: [blocks, N] or [blocks, 1], needed (and used) in training only."""
        x = self.stem(x)
        for i, block in enumerate(self.blocks()):
            a, b = (alpha[i].view(-1, 1, 1, 1), beta[i].view(-1, 1, 1, 1)) if self.training else (None, None)
            x = block(x, a, b)
        return self.linear(self.final(x).mean((2, 3)))


def count(model):
    """Parameters and batch norms."""
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    return sum(p.numel() for p in model.parameters()), norms


if __name__ == "__main__":
    for name in ORDERS:
        print(name, "reference: %d parameters, %d batch norms" % count(Network(name, 4)))
