"""How the labels of another cache become classes of a model: by names for them, and by merging classes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from landmarkfer.data.label_names import LabelNames, check_named, label_value, name_of
from landmarkfer.data.labels import sort_classes
from landmarkfer.errors import SettingsError


@dataclass(frozen=True)
class LabelMapping:
    """How the labels of another cache become classes of a model.

    Attributes:
        names: Names of labels, from `data.label_names`.
        merge: Classes that become one, by its name. Of the cache they are labels with another name from then
            on; of the model they are classes whose probabilities are added.
    """

    names: LabelNames = field(default_factory=dict)
    merge: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything is mapped."""
        return bool(self.names or self.merge)

    @property
    def merged(self) -> dict[str, str]:
        """The name that each merged class has."""
        return {part: name for name, parts in self.merge.items() for part in parts}

    def classes(self, trained: Sequence[str]) -> tuple[str, ...]:
        """The classes of a model after merging, each once, where the first of them was."""
        return tuple(dict.fromkeys(self.merged.get(name, name) for name in trained))

    def of_labels(
        self,
        labels: Iterable[str],
        trained: Sequence[str],
        trained_merge: Mapping[str, Sequence[str]],
        where: str,
    ) -> dict[str, str | None]:
        """What each label of a cache is called as a class.

        Args:
            labels: Those of the cache.
            trained: The classes of the model.
            trained_merge: Which were merged for its training.
            where: The cache, for messages.

        Returns:
            Class names by label, those that the model lacks included; None where the label is no class.

        Raises:
            SettingsError: A label is a number and has no name, or the names or the merged classes are not
                those of the cache or the model.
        """
        labels = list(dict.fromkeys(labels))
        named = {label: name_of(label, self.names) for label in labels}
        there = {name for name in named.values() if name is not None}
        if self.names and not {label_value(label) for label in labels} & set(self.names):
            raise SettingsError(
                f"none of the values that --label-names names ({', '.join(self.names)}) is a label of "
                f"{where}, whose labels are {', '.join(sort_classes(labels)) or 'none'}."
            )
        self._check_merge(there, trained, where)
        merged = {part: name for name, parts in trained_merge.items() for part in parts}
        final = {label: None if name is None else self._class(name, merged) for label, name in named.items()}
        check_named((name for name in final.values() if name and name not in self.classes(trained)), where)
        return final

    def _class(self, name: str, trained_merge: Mapping[str, str]) -> str:
        if name in self.merged:
            return self.merged[name]
        name = trained_merge.get(name, name)
        return self.merged.get(name, name)

    def _check_merge(self, there: set[str], trained: Sequence[str], where: str) -> None:
        parts = [part for several in self.merge.values() for part in several]
        if twice := [part for part in parts if parts.count(part) > 1]:
            raise SettingsError(f"--merge makes class '{twice[0]}' part of more than one; name it once.")
        if unknown := [part for part in parts if part not in there | set(trained)]:
            raise SettingsError(
                f"--merge names '{unknown[0]}', which is neither a label of {where} "
                f"({', '.join(sort_classes(there)) or 'none'}) nor a class of the model "
                f"({', '.join(trained)})."
            )
        for name, several in self.merge.items():
            if name not in trained and not set(several) & set(trained):
                raise SettingsError(
                    f"--merge makes a class '{name}' that the model lacks; its classes are "
                    f"{', '.join(trained)}."
                )


AS_IT_IS = LabelMapping()
"""Nothing is named or merged."""
