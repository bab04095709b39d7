"""What only the hub's delivery reads: templates, quiet hours, translations, and the journeys
(`core.compiler.journeys`).

The languages of templates (Liquid, MJML) and the names of time zones are checked by the hub, which has what
that needs (`hub/decisioning/publishing`); here is their form.
"""

import re
from typing import Final

from core import bundle
from core.authoring import Path, shown
from core.authoring.types import Block, Template, Translation
from core.compiler.expressions import Rules
from core.compiler.journeys import compile_journeys
from core.compiler.taxonomy import Taxonomy
from core.compiler.work import Work

EMAIL: Final = "email"
#: An address that a mail can come from: no quoted local part, no address literal.
ADDRESS: Final = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+"
MAILBOX: Final = re.compile(rf"(?:[^<>@\",;:\x00-\x1f\x7f]+ <{ADDRESS}>|{ADDRESS})")
TIME_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")
#: What would end a line, and so the header that it stands in.
LINE_BREAKS: Final = re.compile("[\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029\x00]")


def compile_outbound(work: Work, rules: Rules, taxonomy: Taxonomy) -> bundle.Outbound:
    """Everything about messages."""
    settings = work.catalogue.settings
    if TIME_ZONE.fullmatch(settings.time_zone) is None:
        expected = "the name of a time zone, such as Europe/Berlin"
        work.faults.add(("settings", "time_zone"), expected, shown(settings.time_zone))
    return bundle.Outbound(
        templates=[_template(work, path, template) for path, template in work.ordered("templates")],
        journeys=compile_journeys(work, rules, taxonomy),
        quiet_hours=_quiet_hours(work),
        time_zone=settings.time_zone,
        time_scale=settings.time_scale,
        translations={
            block.id: _translations(work, path, block)
            for path, block in work.ordered("blocks")
            if block.translations
        },
    )


def _template(work: Work, path: Path, template: Template) -> bundle.Template:
    if template.channel == EMAIL:
        _check_mailbox(work, path, "sender", template.sender)
        if template.reply_to is not None:
            _check_mailbox(work, path, "reply_to", template.reply_to)
    if not (template.mjml.strip() or template.text.strip()):
        rests = [(*path, "mjml"), (*path, "text")]
        work.faults.add(path, "`mjml`, `text` or both", "neither", of=rests)
    if not template.subject.strip():
        work.faults.add((*path, "subject"), "a subject", shown(template.subject))
    for name in ("subject", "preheader"):
        _check_one_line(work, (*path, name), getattr(template, name))
    _check_strings(work, path, template)
    return bundle.Template(
        id=template.id,
        channel=template.channel,
        sender=template.sender,
        reply_to=template.reply_to or "",
        subject=template.subject,
        preheader=template.preheader,
        mjml=template.mjml,
        text=template.text,
        locale=template.locale,
        strings={locale: dict(sorted(words.items())) for locale, words in sorted(template.strings.items())},
    )


def _check_mailbox(work: Work, path: Path, name: str, text: str) -> None:
    if MAILBOX.fullmatch(text) is None:
        expected = "an address such as shop@example.com, or Shop <shop@example.com>"
        work.faults.add((*path, name), expected, shown(text), of=[(*path, "channel")])


def _check_one_line(work: Work, path: Path, text: str) -> None:
    if LINE_BREAKS.search(text):
        work.faults.add(path, "text of one line", shown(text))


def _check_strings(work: Work, path: Path, template: Template) -> None:
    """The template's own language has every key, so that each of the others may lack some."""
    if not template.strings:
        return
    path = (*path, "strings")
    own = template.strings.get(template.locale)
    if own is None:
        expected = f"strings in the template's own language {template.locale}"
        rests = [(*path[:-1], "locale"), path]
        work.faults.add(path, expected, ", ".join(sorted(template.strings)), of=rests)
        return
    for locale, words in template.strings.items():
        for key in sorted(words.keys() - own.keys()):
            expected = f"a key of the strings in {template.locale}"
            rests = [(*path[:-1], "locale"), (*path, template.locale)]
            work.faults.add((*path, locale, key), expected, shown(key), of=rests)


def _quiet_hours(work: Work) -> list[bundle.QuietHours]:
    found = []
    for at, one in enumerate(work.catalogue.settings.quiet_hours):
        path: Path = ("settings", "quiet_hours", at)
        work.repeated(one.channels, (*path, "channels"), "channel")
        start = work.clock(one.start, (*path, "start")) or 0
        end = work.clock(one.end, (*path, "end")) or 0
        if start == end:
            expected = f"another time than the start {one.start}"
            work.faults.add((*path, "end"), expected, shown(one.end), of=[(*path, "start"), (*path, "end")])
        found.append(bundle.QuietHours(sorted(set(one.channels)), start, end))
    return found


def _translations(
    work: Work, path: Path, block: Block
) -> dict[str, tuple[str | None, str | None, str | None]]:
    path = (*path, "translations")
    if block.type != "text":
        kind = [(*path[:-1], "type")]
        work.faults.add(path, "translations in a text block only", f"a {block.type} block", of=kind)
    for locale, one in block.translations.items():
        _check_translation(work, (*path, locale), block, one)
    words = {locale: (one.value, one.prefix, one.suffix) for locale, one in block.translations.items()}
    own = block.value if isinstance(block.value, str) else None
    return {"": (own, block.prefix, block.suffix), **dict(sorted(words.items()))}


def _check_translation(work: Work, path: Path, block: Block, one: Translation) -> None:
    of_block = work.below("blocks", block.id, "value", "attribute")
    if one.value is None and one.prefix is None and one.suffix is None:
        work.faults.add(path, "`value`, `prefix` or `suffix`", "none of them")
    if one.value is not None and block.value is None:
        expected = "no value, since the block has none"
        work.faults.add((*path, "value"), expected, shown(one.value), of=of_block[:1])
    for name in ("prefix", "suffix"):
        if getattr(one, name) is not None and block.attribute is None:
            expected = "text around an attribute only, which the block has not"
            work.faults.add((*path, name), expected, f"`{name}`", of=of_block[1:])
