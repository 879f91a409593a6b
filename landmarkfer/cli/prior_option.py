"""The option `--prior` of the commands that predict."""

from collections.abc import Sequence

from landmarkfer.errors import SettingsError


def read_prior(texts: Sequence[str]) -> dict[str, float] | str | None:
    """`uniform`, `train`, shares by class from `CLASS=SHARE`, or None.

    Raises:
        SettingsError: A text is neither.
    """
    if not texts:
        return None
    if len(texts) == 1 and "=" not in texts[0]:
        return texts[0]
    if names := [text for text in texts if "=" not in text]:
        raise SettingsError(
            f"--prior takes 'uniform', 'train', or CLASS=SHARE for each class, and not {names[0]!r} beside "
            "others."
        )
    shares = {}
    for text in texts:
        name, _, share = text.partition("=")
        if name in shares:
            raise SettingsError(f"--prior gives {name} twice; give each class one share.")
        try:
            shares[name] = float(share)
        except ValueError:
            raise SettingsError(f"--prior {text} is no share; write CLASS=SHARE, as happy=0.4.") from None
    return shares
