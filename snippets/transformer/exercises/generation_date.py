"""A schema says `"format": "date"`. Build the state in which a date in quotes begins,
from "0000-01-01" to "9999-12-31": no month has more days than it can have (February up
to 29, in every year).

模式里写着 `"format": "date"`。请构造一个状态，从它开始写出带引号的日期，从 "0000-01-01"
到 "9999-12-31"；每个月的天数不能超过它可能有的天数（二月总可以到 29 日）。
"""

from llm_tutorial.transformer.schema import State, literal

DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def date(then: State) -> State:
    # a state is a dictionary, byte -> state; `either`, beside `literal`, joins several
    # TODO: months and days that do not exist are not to be written
    state = literal('"', then)
    for count in (2, 2, 4):
        for _ in range(count):
            state = dict.fromkeys(b"0123456789", state)
        state = literal("-" if count == 2 else '"', state)
    return state
