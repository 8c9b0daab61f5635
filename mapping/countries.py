"""Countries by any name people type: ISO codes and names from pycountry, and an own table of everyday spellings."""

import unicodedata
from functools import cache, lru_cache
from typing import Any, Final

import pycountry

# What pycountry's lookup misses (libraries: UK, U.S.A., Holland) and old or local names seen in CRMs.
_ALIASES: Final = {
    "AE": ("UAE", "Emirates"),
    "AT": ("Österreich", "Oesterreich"),
    "BA": ("Bosnia",),
    "BE": ("Belgique", "België", "Belgien"),
    "BO": ("Bolivia",),
    "BR": ("Brasil",),
    "CD": ("DR Congo", "DRC"),
    "CH": ("Schweiz", "Suisse", "Svizzera"),
    "CI": ("Ivory Coast",),
    "CZ": ("Czech Republic", "Česko"),
    "DE": ("Deutschland", "Allemagne", "Tyskland"),
    "DK": ("Danmark",),
    "ES": ("España", "Espana"),
    "FI": ("Suomi",),
    "GB": ("UK", "U.K.", "Great Britain", "Britain", "England", "Scotland", "Wales", "Northern Ireland"),
    "GR": ("Hellas",),
    "HK": ("Hong Kong SAR",),
    "HU": ("Magyarország",),
    "IE": ("Republic of Ireland", "Éire"),
    "IR": ("Iran",),
    "IT": ("Italia",),
    "JP": ("Nippon",),
    "KP": ("North Korea",),
    "KR": ("South Korea", "Korea", "Republic of Korea"),
    "LA": ("Laos",),
    "LU": ("Luxemburg",),
    "MD": ("Moldova",),
    "MK": ("Macedonia",),
    "MX": ("México",),
    "NL": ("Holland", "The Netherlands", "Nederland"),
    "NO": ("Norge",),
    "PL": ("Polska",),
    "RU": ("Russia",),
    "SE": ("Sverige", "Schweden"),
    "SY": ("Syria",),
    "TR": ("Turkey", "Türkiye", "Turkiye"),
    "TW": ("Taiwan",),
    "TZ": ("Tanzania",),
    "US": ("USA", "U.S.A.", "U.S.", "United States of America", "America", "The United States"),
    "VE": ("Venezuela",),
    "VN": ("Vietnam", "Viet Nam"),
}
# Names as CRMs spell them, where ISO's own are for lawyers ("Bolivia, Plurinational State of").
_NAMES: Final = {"GB": "United Kingdom", "US": "United States", "TR": "Turkey", "RU": "Russia", "CZ": "Czech Republic"}


@lru_cache(maxsize=4096)
def country_code(text: str) -> str | None:
    """The ISO 3166 alpha-2 code that a text names, or None."""
    return _codes().get(_fold(text))


def country_name(code: str) -> str | None:
    """The English name that CRMs use for a code."""
    return _names().get(code)


def _fold(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in plain if c.isalnum())


@cache
def _codes() -> dict[str, str]:
    found: dict[str, str] = {}
    for country in _countries():
        code = str(country.alpha_2)
        for attribute in ("alpha_2", "alpha_3", "name", "common_name", "official_name"):
            name = getattr(country, attribute, None)
            if name:
                found.setdefault(_fold(name), code)
    for code, names in _ALIASES.items():
        for name in names:
            found[_fold(name)] = code
    return found


@cache
def _names() -> dict[str, str]:
    names = {str(c.alpha_2): str(getattr(c, "common_name", c.name)) for c in _countries()}
    return {**names, **_NAMES}


def _countries() -> list[Any]:
    return list(pycountry.countries)
