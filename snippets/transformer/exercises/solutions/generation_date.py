from llm_tutorial.transformer.schema import State, either, literal

DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def date(then: State) -> State:
    close = literal('"', then)
    state = either(
        *(
            literal(f"-{month:02}-{day:02}", close)
            for month, days in enumerate(DAYS, 1)
            for day in range(1, days + 1)
        )
    )
    for _ in range(4):
        state = dict.fromkeys(b"0123456789", state)
    return literal('"', state)
