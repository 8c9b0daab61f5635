"""`crmbridge check`: everything that is wrong with settings and mappings, at once; `--live` asks both CRMs as well."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import rich_click as click

from crmbridge.cli.context import Place
from crmbridge.errors import CrmBridgeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.base import Description
    from crmbridge.model import Side
    from crmbridge.settings import Settings, SettingsError
    from mapping import Document, Documents, Finding, Loss

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    level: Level
    where: str  # file:line:column, or the name of a connection
    text: str
    # Where it is a place in a file, its parts; `code` is explained in docs/reference/mapping-problems.md.
    code: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    path: str | None = None
    message: str | None = None
    suggestion: str | None = None
    ids: tuple[str, ...] = ()  # whom it is about, as that CRM names them: all of them, where the text names the first


@dataclass(slots=True, kw_only=True)
class Findings:
    lines: list[Line] = field(default_factory=list[Line])
    outside: CrmBridgeError | None = None  # a CRM that did not answer: the rest could not be checked

    def say(self, level: Level, where: str, text: str, *, code: str | None = None, ids: Iterable[str] = ()) -> None:
        coded = f"{text} [{code}]" if code else text
        self.lines.append(Line(level=level, where=where, text=coded, code=code, message=text, ids=tuple(ids)))

    def tell(self, finding: "Finding") -> None:
        """A finding of a mapping, with all that it knows."""
        self.lines.append(
            Line(
                level=finding.severity,
                where=str(finding.place),
                text=str(finding).removeprefix(f"{finding.place}: "),
                code=finding.code,
                file=finding.place.file,
                line=finding.place.line,
                column=finding.place.column,
                path=finding.path,
                message=finding.message,
                suggestion=finding.suggestion,
            )
        )

    def count(self, level: Level) -> int:
        return sum(line.level == level for line in self.lines)

    @property
    def exit_code(self) -> int:
        if self.count("error"):
            return 2
        return self.outside.exit_code if self.outside else 0


@click.command("check")
@click.option(
    "--live", is_flag=True, help="Also ask both CRMs: login, rights, fields, keys, values; nothing is written."
)
@click.option(
    "--shape",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Hold the mappings to a shape that `crmbridge capture` wrote; no CRM is asked, and no secret is needed.",
)
@click.option(
    "--files-only", is_flag=True, help="Look at the files alone: no secret need be there. For hooks and build servers."
)
@click.option("--losses", is_flag=True, help="Also list what the mappings have declared to lose.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def check(place: Place, live: bool, shape: Path | None, files_only: bool, losses: bool, as_json: bool) -> int:
    """Find all that is wrong with settings and mappings, with file, line and what was probably meant."""
    if live and shape is not None:
        raise click.UsageError("--live asks the CRMs, --shape a file; give one of the two.")
    found = Findings()
    if live and files_only:
        raise click.UsageError("--live needs secrets, --files-only does without; give one of the two.")
    from crmbridge import wiring
    from crmbridge.settings import SettingsError

    try:
        settings = place.settings(secrets=False)  # what leads nowhere is told below, with all the rest
    except SettingsError as error:
        _beside_broken_settings(found, error, shape)
        _print(found, live=shape is not None, as_json=as_json, profile=place.profile)
        return found.exit_code
    if settings.profile and not as_json:
        click.echo(f"Profile {settings.profile}: {_profile_files(settings)}")
    documents = _documents(settings)
    for problem in () if files_only else settings.unresolved():
        _tell(found, "warning" if shape is not None else "error", problem)
    descriptions: dict[Any, Description] = {}
    if live and not found.lines:
        from crmbridge.cli.live import look, look_around

        settings = place.settings()
        look_around(found, settings)
        with wiring.open_to_ask(settings, needs_store=False, tries=True, owners=False) as connectors:
            descriptions = look(found, settings, connectors, documents)
    if shape is not None:
        from crmbridge.cli.shape import describe_shape

        _, descriptions = describe_shape(shape, wiring.connections(settings))
    _mapping_findings(found, documents, descriptions, wiring.key_fields(settings))
    _choices(found, settings, documents, descriptions)
    lost = [loss for document in documents for loss in _losses(document)] if losses else None
    _print(found, live=live or shape is not None, as_json=as_json, profile=settings.profile, lost=lost)
    return found.exit_code


def _profile_files(settings: "Settings") -> str:
    """Which files it lays over others."""
    ends = f".{settings.profile}"
    found = [*settings.folder.glob("*.y*ml"), *settings.mappings_folder.glob("*.y*ml")]
    return ", ".join(sorted({file.name for file in found if file.stem.endswith(ends)}))


def _documents(settings: "Settings") -> "Documents":
    """Not `wiring.load_mapping`, which stops at the first layer: here all layers are told at once."""
    import mapping
    from crmbridge import wiring

    documents, _ = mapping.load(
        settings.mappings_folder, connections=wiring.connections(settings), profile=settings.profile
    )
    return documents


def _beside_broken_settings(found: Findings, error: "SettingsError", shape: Path | None) -> None:
    """Its problems, and those of the mappings as far as it is known which they are."""
    import mapping
    from crmbridge.cli.shape import describe_shape

    for problem in error.problems:
        _tell(found, "error", problem)
    sketch = error.sketch
    if sketch is not None:
        documents, _ = mapping.load(sketch.mappings_folder, connections=sketch.connections, profile=sketch.profile)
        descriptions = describe_shape(shape, sketch.connections)[1] if shape is not None else {}
        _mapping_findings(found, documents, descriptions, {})


def _mapping_findings(
    found: Findings, documents: "Documents", descriptions: Any, key_fields: "Mapping[Side, str | None]"
) -> None:
    import mapping
    from crmbridge.cli.hints import look_alikes
    from mapping.doubts import doubts
    from mapping.examples import example_findings
    from mapping.key_columns import key_findings
    from mapping.renamed import renamed

    findings = renamed(mapping.check(documents, descriptions or None), list(documents.connections))
    findings += look_alikes(findings)
    for document in documents:
        findings += example_findings(document)
        findings += [*doubts(document, descriptions or None), *key_findings(document, key_fields)]
    for finding in sorted(findings, key=lambda one: (one.place.file, one.place.line, one.place.column)):
        found.tell(finding)
    for document in documents:
        for note in mapping.notes(document, descriptions):
            found.tell(note)


_PROBLEM: Final = re.compile(
    r"(?P<where>.+?): (?:(?P<path>[a-zA-Z][\w.-]*): )?(?P<message>.*) \[(?P<code>[a-z-]+)\]", re.DOTALL
)
_PLACE: Final = re.compile(r"(?P<file>.+):(?P<line>\d+):(?P<column>\d+)")


def _choices(found: Findings, settings: "Settings", documents: "Documents", descriptions: Any) -> None:
    """Segments and options ask the mapping's fields; what is only doubted is told once all is right."""
    import mapping
    from crmbridge.cli.segments import segment_doubts
    from crmbridge.errors import ConfigError
    from crmbridge.segments import choice_problems, policies

    if found.count("error") or not len(documents):
        for problem in choice_problems(settings, documents):
            _tell(found, "error", problem)
        return
    try:
        compiled = mapping.compile(documents, descriptions=descriptions or None)
        policies(settings, compiled)
        for doubt in segment_doubts(settings, documents, compiled, datetime.now(UTC)):
            found.tell(doubt)
    except ConfigError as error:
        for problem in error.problems:
            _tell(found, "error", problem)


def _tell(found: Findings, level: Level, problem: str) -> None:
    """A problem of the settings, which comes as its line."""
    said = _PROBLEM.fullmatch(problem)
    assert said is not None, problem
    place = _PLACE.fullmatch(said["where"])
    found.lines.append(
        Line(
            level=level,
            where=said["where"],
            text=problem.removeprefix(f"{said['where']}: "),
            code=said["code"],
            file=place["file"] if place else said["where"],
            line=int(place["line"]) if place else None,
            column=int(place["column"]) if place else None,
            path=said["path"],
            message=said["message"],
        )
    )


def _plain(loss: "Loss") -> dict[str, Any]:
    place = loss.place
    return {
        "file": place.file, "line": place.line, "column": place.column, "path": loss.path, "side": loss.side,
        "what": loss.what,
    }  # fmt: skip


def _losses(document: "Document") -> "list[Loss]":
    import mapping

    return mapping.losses(document)


def _print(
    found: Findings, *, live: bool, as_json: bool, profile: str | None, lost: "list[Loss] | None" = None
) -> None:
    from crmbridge.cli.output import many, print_json, say, seen_from_here

    if as_json:
        print_json(
            {
                "ok": found.exit_code == 0,
                "exit_code": found.exit_code,
                "live": live,
                "profile": profile,
                "findings": [{**asdict(line), "severity": line.level} for line in found.lines],
                "outside": str(found.outside) if found.outside else None,
                **({"losses": [_plain(loss) for loss in lost]} if lost is not None else {}),
            }
        )
    for line in found.lines:
        sign = {"error": "error: ", "warning": "warning: ", "note": ""}[line.level]
        if not as_json:
            say(f"{seen_from_here(line.where)}: {sign}{line.text}")
    if lost is not None and not as_json:
        for loss in lost:
            say(f"{seen_from_here(str(loss.place))}: declared loss: {loss.path}: {loss.side} {loss.what}")
        say(f"{len(lost)} declared {'loss' if len(lost) == 1 else 'losses'}.")
    if found.outside:
        click.echo(str(found.outside), err=True)
    if not as_json:
        told = f"{many(found.count('error'), 'error')}, {many(found.count('warning'), 'warning')}"
        rest = "; not all could be checked, since something did not answer" if found.outside else ""
        say(f"{told}{rest}." if found.lines else "Nothing is wrong.")
        if not live and not found.count("error"):
            say("`crmbridge check --live` compares this with what both CRMs really have.")
