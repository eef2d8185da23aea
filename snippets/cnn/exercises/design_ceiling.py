"""Few layers, far sight. Each layer has a kernel of 3 and a dilation of its own. Give
dilations, as few as possible, with which the layers read every place up to a distance,
and far enough: the ceiling of the pulse task, for pulses of probability p, is at least
the wanted share.

层数少，看得远。每层的核都是 3，扩张率各自选。请给出尽量少的几个扩张率，使这几层读到
某个距离以内的每个位置，并且够远：脉冲任务（脉冲的概率为 p）的上限不低于要求的比例。
"""


def dilations(p: float, wanted: float) -> list[int]:
    """One dilation for each layer."""
    # TODO: undilated layers see far only if there are many
    reach = 0
    while 1 - (1 - p) ** (reach + 1) / 2 < wanted:
        reach += 1
    return [1] * reach
