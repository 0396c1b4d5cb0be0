"""What a variant of the rows is called in figures: human words in place of name=value (ours)."""

import re
from collections.abc import Sequence

PHRASES = {  # what a variant's text says in words; a pattern fits whole name=value parts, the first that fits has them
    "weighting=fixed,alpha=([^,]+)": r"fixed alpha \1",
    "weighting=ramp,ramp_length=[^,]+,alpha=([^,]+)": r"ramp to \1",
    "weighting=loss_ratio(,alpha=[^,]+)?": "loss ratio",
    "weighting=revenue(,alpha=[^,]+)?": "validation loss",
    "weighting=gradient(,alpha=[^,]+)?": "gradient cosine",
    "weighting=uncertainty(,alpha=[^,]+)?": "uncertainty",
    "beta=([^,]+)": r"beta \1",
    "prior_power=([^,]+)": r"prior weight, power \1",
    "feedback=False,peers=False": "teachers only",
    "feedback=False(,peers=True)?": "without feedback",
    "peers=False,fan_in=3,fan_out=3": "small groups",
    "peers=False": "without peers",
    "include_self=False": "without own answers",
    "revenue=none": "no revenue",
    "revenue=shapley": "Shapley revenue",
    "revenue=([^,]+)": r"\1 revenue",
    "revenue_temperature=([^,]+)": r"tau \1",
    "revenue_personality=1.0": "by own labels",
    "revenue_personality=0.0": "all classes alike",
    "revenue_matching=([^,]+)": r"\1 of the matching",
    "gate=True": "gate",
    "hard_loss=([^,]+)": r"\1 loss",
    "pooling=([^,]+)": r"\1 pooling",
    "fan_in=1": "1 teacher",
    "fan_in=([^,]+),rule=(random|nearest|farthest)": r"\1 \2 teachers",
    "fan_in=([^,]+),rule=([^,]+)": r"\1 teachers by \2",
    "fan_in=([^,]+)": r"\1 teachers",
    "rule=(random|nearest|farthest|all)": r"\1 teachers",
    "rule=([^,]+)": r"teachers by \1",
    "personality=([^,]+)": r"dial \1",
    "max_gap=([^,]+)": r"up to \1 levels apart",
    "schedule=top_down": "top down",
    "schedule=bottom_up": "bottom up",
    "kl_direction=student_first": "student-first divergence",
    "transport=classwise": "answers per class",
    "transport=private": "networks at the listener",
    "transport=visit": "network on visit",
    "spoken=([^,]+)": r"\1 images a round",
    "wire=fp16": "half precision",
    "dropout=([^,]+)": r"\1 absent",
    "straggling=([^,]+)": r"\1 late",
    "offline=([^,]+)": r"\1 offline",
    "exploding=([^,]+)": r"\1 not finite",
    "liars=([^,]+),lie=([^,]+)": r"\1 lie (\2)",
    "doubt=True": "doubt",
    "recall=True": "recall",
    "epsilon=([^,]+)": r"epsilon \1",
}


def said(variant: str) -> str:
    """A variant in words: its known parts by PHRASES, all else as it stands.

    Source: *ours*.

    >>> said("weighting=gradient,alpha=0.5"), said("feedback=False,peers=False"), said("gate=True,epochs=2"), said("")
    ('gradient cosine', 'teachers only', 'gate, epochs=2', '')
    """
    for pattern, words in PHRASES.items():
        variant = re.sub(f"(?<![^,]){pattern}(?![^,])", words, variant)
    return re.sub(",(?! )", ", ", variant)


def apart(variants: Sequence[str]) -> list[str]:
    """The words of each variant; where several have the same words, with the variant's own text.

    Source: *ours*.

    >>> apart(["peers=False", "weighting=gradient,alpha=0.5", "weighting=gradient,alpha=0.7"])[::2]
    ['without peers', 'gradient cosine (weighting=gradient,alpha=0.7)']
    """
    names = [said(variant) for variant in variants]
    pairs = zip(names, variants, strict=True)
    return [f"{name} ({variant})" if name and names.count(name) > 1 else name for name, variant in pairs]
