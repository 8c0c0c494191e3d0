"""Networks of libraries, and plain ones with what real code does, by family and name, with random weights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.network.features import BY_NAME

Built = tuple[Any, tuple[int, ...], tuple[tuple[int, ...], ...]]
"""A model, the shape of its image, and those of what it takes beside it."""

_SQUARE = (3, 64, 64)
_LARGER = {"inception_v3": 96, "quantized_inception": 96, "convnext": 64, "maxvit": 224, "vit_": 224, "swin": 64}

_TIMM = """
    resnet18 resnet50d resnetv2_50x1_bit seresnet18 skresnet18 resnest14d res2net50_14w_8s resnext26ts
    tf_efficientnet_lite0 efficientnet_b0 tf_efficientnetv2_b0 mobilenetv3_small_050 mobilenetv4_conv_small mnasnet_050
    mixnet_s fbnetc_100 ghostnet_050 hardcorenas_a lcnet_035 tinynet_e mobileone_s0 repvgg_a0 repvit_m0_9
    convnext_atto convnextv2_atto convmixer_768_32 poolformer_s12 edgenext_xx_small fastvit_t8 regnety_002 nfnet_l0
    densenet121 dla34 hrnet_w18_small vovnet39a darknet17 rexnet_100 xception41 selecsls42
    mobilevit_xxs mobilevitv2_050 efficientvit_b0 tiny_vit_5m_224 maxvit_nano_rw_256 vit_tiny_patch16_224
    deit_tiny_patch16_224 mixer_s32_224 swin_tiny_patch4_window7_224 coat_lite_tiny levit_128s
"""
_TIMM_SIZES = {"maxvit_nano_rw_256": 256, "swin_tiny_patch4_window7_224": 224, "levit_128s": 224, "mixer_s32_224": 224}
_TIMM_SIZES |= {"vit_tiny_patch16_224": 224, "deit_tiny_patch16_224": 224, "tiny_vit_5m_224": 224}
_TIMM_SIZES |= {"coat_lite_tiny": 224, "mobilevit_xxs": 128, "mobilevitv2_050": 128}

_SMP = """
    Unet:resnet18 Unet:mobilenet_v2 Unet:timm-efficientnet-b0 Unet:vgg11_bn Unet:densenet121 Unet:mit_b0
    Unet:se_resnet50 Unet:xception UnetPlusPlus:resnet18 MAnet:resnet18 Linknet:resnet18 Linknet:mobilenet_v2
    FPN:resnet18
    FPN:timm-efficientnet-b0 FPN:mit_b0 PSPNet:resnet18 PSPNet:mobilenet_v2 DeepLabV3:resnet18 DeepLabV3Plus:resnet18
    DeepLabV3Plus:mobilenet_v2 PAN:resnet18 UPerNet:resnet18 Segformer:mit_b0
"""
_TRANSFORMERS = "ResNet ConvNext ConvNextV2 MobileNetV1 MobileNetV2 MobileViT Segformer RegNet ViT Swin PoolFormer"


def _torchvision(module: str = "models") -> list[str]:
    from actbench.workloads.torchvision_import import torchvision

    models = torchvision("torchvision.models")
    return list(models.list_models(models if module == "models" else getattr(models, module)))


def _smaller(names: list[str]) -> list[str]:
    """One or two of each kind of network: the larger ones are the same code."""
    larger = ("101", "152", "vgg13", "vgg16", "vgg19", "161", "169", "201", "_b3", "_b4", "_b5", "_b6", "_b7", "_base")
    larger += ("_large", "_l_", "_l", "_h_", "_8gf", "_16gf", "_32gf", "_128gf", "_3_2gf", "_s", "x2_0", "x1_5", "75")
    return [
        name for name in names if not any(part in name.removesuffix("_small") for part in larger) or "mobilenet" in name
    ]


def _plain() -> list[str]:
    return list(BY_NAME)


FAMILIES: dict[str, Callable[[], list[str]]] = {
    "torchvision": lambda: _smaller(_torchvision()),
    "segmentation": lambda: _torchvision("segmentation"),
    "detection": lambda: _torchvision("detection"),
    "video": lambda: [*_torchvision("video"), "raft_small"],
    "quantisable": lambda: _torchvision("quantization"),
    "timm": lambda: _TIMM.split() if find_spec("timm") else [],
    "smp": lambda: _SMP.split() if find_spec("segmentation_models_pytorch") else [],
    "transformers": lambda: _TRANSFORMERS.split() if find_spec("transformers") else [],
    "plain": _plain,
}


def build(family: str, name: str) -> Built:
    """Builds a network with random weights, none of which is zero: nothing is hidden by a branch that is switched off,
    as many are before training."""
    model, shape, others = _built(family, name)
    for path, parameter in [*model.named_parameters(), *model.named_buffers()]:
        if not parameter.is_floating_point() or parameter.is_quantized:
            continue
        if "running_mean" in path or path.endswith("bias"):
            parameter.data.normal_(0, 0.1)
        elif parameter.dim() < 2:
            parameter.data.uniform_(0.5, 1.5)
        elif isinstance(parameter, torch.nn.Parameter):
            parameter.data.normal_(0, (1.5 / parameter[0].numel()) ** 0.5)
    return model, shape, others


def _built(family: str, name: str) -> Built:
    from actbench.workloads.own.models import build_model
    from actbench.workloads.torchvision_import import torchvision

    torchvision("torchvision.models")
    if family == "timm":
        size = _TIMM_SIZES.get(name, 64)
        return build_model(f"timm:{name}"), (3, size, size), ()
    if family == "smp":
        return _of_smp(*name.split(":")), (3, 128, 128) if "PAN" in name else _SQUARE, ()
    if family == "transformers":
        return _of_transformers(name), _SQUARE, ()
    if family == "plain":
        return BY_NAME[name]()
    model = build_model(f"torchvision:{name}")
    if name.startswith("raft"):
        return model, (3, 128, 128), ((3, 128, 128),)
    if family == "video":
        return model, (3, 16, 224, 224) if "mvit" in name else (3, 16, 64, 64), ()
    size = next((size for start, size in _LARGER.items() if name.startswith(start)), 64)
    return model, (3, size, size), ()


def _of_smp(architecture: str, encoder: str) -> Any:
    import segmentation_models_pytorch as smp

    return getattr(smp, architecture)(encoder_name=encoder, encoder_weights=None, classes=5)


def _of_transformers(name: str) -> Any:
    import transformers

    sizes = {"image_size": 64, "patch_size": 16, "hidden_size": 48, "num_attention_heads": 4, "num_hidden_layers": 2}
    sizes |= {"intermediate_size": 96}
    given = sizes if name in ("ViT",) else {"image_size": 64, "window_size": 2} if name == "Swin" else {}
    config = getattr(transformers, f"{name}Config")(**given)
    kind = "ForSemanticSegmentation" if name == "Segformer" else "ForImageClassification"
    return getattr(transformers, f"{name}{kind}")(config)
