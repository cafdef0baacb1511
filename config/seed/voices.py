"""What the sample members say in surveys, in English and Chinese."""

import numpy as np

PROMOTER = {
    "en": [
        "Best flat white in town, and the staff remember my name.",
        "Points add up quickly and redeeming at the counter took ten seconds.",
        "The app order was ready when I walked in. Perfect.",
        "Love the new beans from Yunnan.",
        "Friendly people, clean shop, fair prices.",
        "Gold delivery is free and fast. Keep it up!",
    ],
    "zh-hans": [
        "店员很热情，每次都记得我的口味。",
        "积分兑换很方便，十秒就搞定了。",
        "云南新豆子太好喝了，已经推荐给同事。",
        "小程序下单，到店就能取，省时间。",
        "环境干净，价格合理，会一直来。",
        "升级金卡以后配送又快又免费。",
    ],
}
PASSIVE = {
    "en": [
        "Good coffee, a bit expensive.",
        "Fine overall. More oat milk options please.",
        "Nice shop but few seats at lunch.",
        "The points are OK, I would like more rewards to choose from.",
    ],
    "zh-hans": [
        "咖啡不错，就是有点贵。",
        "整体可以，希望奖品再多一些。",
        "中午座位太少，要等。",
        "味道稳定，没有特别惊喜。",
    ],
}
DETRACTOR = {
    "en": [
        "The queue at the counter is too long.",
        "My points expired and nobody told me.",
        "Delivery was late twice this month.",
        "The app logged me out and lost my basket.",
        "The reward I wanted was out of stock again.",
        "Prices went up and the cups got smaller.",
    ],
    "zh-hans": [
        "柜台排队太久了。",
        "积分过期了也没有提醒我。",
        "这个月外卖迟到了两次。",
        "想换的奖品一直缺货。",
        "涨价了，杯子还变小了。",
        "客服电话打了三次才接通。",
    ],
}


def comment(rng: np.random.Generator, score: int, language: str) -> str:
    """A comment that fits the score; empty for those who left none."""
    if rng.random() < 0.45:
        return ""
    voices = PROMOTER if score >= 9 else PASSIVE if score >= 7 else DETRACTOR
    choices = voices[language]
    return choices[int(rng.integers(0, len(choices)))]
