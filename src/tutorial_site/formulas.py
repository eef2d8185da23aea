"""Formulas: LaTeX to MathML, at build time, so that reading one needs no JavaScript."""

from functools import cache

from math_core import LatexError, LatexToMathML

from tutorial_site import SiteError

_CONVERTER = LatexToMathML(fancy_error=False)


@cache
def mathml(tex: str, display: bool = False) -> str:
    r"""Converts a formula.

    Args:
        tex: the formula without its dollar signs.
        display: whether it stands on lines of its own.

    Raises:
        SiteError: the formula does not parse.

    >>> mathml("W x")
    '<math><mi>W</mi><mi>x</mi></math>'
    >>> mathml(r"\frac{1}")
    Traceback (most recent call last):
    tutorial_site.SiteError: formula '\\frac{1}': ...
    """
    try:
        return _CONVERTER.convert_with_local_state(tex.strip(), displaystyle=display)
    except LatexError as error:
        at, _, reason = str(error).partition(": ")
        near = tex.strip().encode()[int(at) :].decode(errors="ignore")[:20] if at.isdigit() else ""
        raise SiteError(f"formula {tex.strip()!r}: {reason}" + (f" (at {near!r})" if near else "")) from None
