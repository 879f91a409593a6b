"""Which classes have few test images, and what the averages over classes then rest on."""

from collections.abc import Mapping

from landmarkfer.progress import counted

FEW_IMAGES = 30
"""A class of fewer test images is marked: an interval of its recall at 50 % is 37 points wide or more."""


def is_few(images: int) -> bool:
    """Whether a class of so many test images is marked."""
    return images < FEW_IMAGES


def averages_remark(images: Mapping[str, int], predicted: Mapping[str, int]) -> str | None:
    """What balanced accuracy and macro-F1 rest on, where a class has few images.

    Args:
        images: Number of test images by class.
        predicted: Number of predictions by class.

    Returns:
        A sentence or two; None where every class that counts has enough images.
    """
    there = {name: number for name, number in images.items() if number}
    few = {name: number for name, number in there.items() if is_few(number)}
    sentences = []
    if few and len(few) == len(there):
        fewest, most = min(few.values()), max(few.values())
        spread = f"{most}" if fewest == most else f"{fewest} to {most}"
        classes = "The one class has" if len(few) == 1 else f"Each of the {len(few)} classes has"
        sentences.append(
            f"{classes} fewer than {FEW_IMAGES} images ({spread}): balanced accuracy and macro-F1 rest on "
            "few."
        )
    elif few:
        largest = max(there, key=lambda name: there[name])
        names = [
            f"{name} ({number:,})" if i else f"{name} ({counted(number, 'image')})"
            for i, (name, number) in enumerate(few.items())
        ]
        listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        verb = "rests" if len(few) == 1 else "rest"
        sentences.append(
            f"Balanced accuracy and macro-F1 give {listed} the weight of {largest} ({there[largest]:,}): "
            f"{len(few)} of {len(there)} classes {verb} on fewer than {FEW_IMAGES} images."
        )
    absent = {name: predicted[name] for name, number in images.items() if not number and predicted[name]}
    if absent:
        listed = ", ".join(f"{name} ({counted(number, 'prediction')})" for name, number in absent.items())
        sentences.append(
            f"Without a test image, but predicted: {listed}; F1 is 0 and counts in macro-F1, and balanced "
            "accuracy leaves it out."
        )
    return " ".join(sentences) or None
