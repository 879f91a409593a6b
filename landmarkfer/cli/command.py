"""The class of every command: an option that takes one value is refused where it is given twice."""

from collections import Counter

import rich_click as click


class Command(click.RichCommand):
    """A command; click itself would silently take the last value of an option that is repeated."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse repeated options that are not meant to be, and parse."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for parameter, times in Counter(order).items():
            if isinstance(parameter, click.Option) and times > 1 and not parameter.multiple:
                if not parameter.is_flag and not parameter.count:
                    raise click.UsageError(f"{parameter.opts[-1]} is given {times} times; give it once.", ctx)
        return super().parse_args(ctx, args)
