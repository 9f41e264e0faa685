"""What checks say of what they find."""


def equal(found, expected):
    true(found == expected, f"found {found!r}, expected {expected!r}")


def true(condition, otherwise):
    # Not `assert`, which `python -O` leaves out.
    if not condition:
        raise AssertionError(otherwise)


def raises(kind, act):
    """The exception of `kind` that `act` raises."""
    try:
        act()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def pieces(stream, text_of):
    """The texts of what a stream yields, and the error that ends it, if one does."""
    seen, error = [], None
    try:
        for item in stream:
            seen.append(text_of(item))
    except Exception as raised:  # Of which kind it is, is for the check to say.
        error = raised
    return [text for text in seen if text], error
