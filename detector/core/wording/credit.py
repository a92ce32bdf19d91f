"""What a credit record says of the cases that cost an account points."""

CREDIT: dict[str, tuple[str, str]] = {
    "case_open": (
        "An open {severity} case of {kind}: {points} points for now, given back if a reviewer "
        "finds nothing to it",
        "{kind}（{severity}）待核实，暂扣{points}分；核实为误报则返还",
    ),
    "case_confirmed": (
        "A confirmed {severity} case of {kind}: {points} points",
        "{kind}（{severity}）已核实，扣{points}分",
    ),
    "case_missed": (
        "A confirmed case of {kind} that was not flagged before: {points} points",
        "{kind}已核实（系统此前未标记），扣{points}分",
    ),
}
"""Code → (English, Chinese). Filled in: {kind}, {severity} and {points}."""

KIND_WORDS: dict[str, tuple[str, str]] = {
    "minor": ("tips by a minor", "未成年人打赏"),
    "outsized": ("outsized tips", "天价打赏"),
    "binge": ("impulsive binges", "激情打赏"),
    "gambling": ("gambling by gifts", "变相赌博"),
    "ring": ("a ring of accounts", "团伙刷打赏"),
    "cap": ("limits passed", "超出限额"),
    "refund_abuse": ("refund abuse", "恶意退款"),
}
"""Kind of case → (English, Chinese)."""

SEVERITY_WORDS: dict[str, tuple[str, str]] = {
    "low": ("low", "低"),
    "medium": ("medium", "中"),
    "high": ("high", "高"),
}
"""Severity → (English, Chinese)."""
