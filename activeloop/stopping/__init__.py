"""Rules that end a run before its budget is spent: functions of the finished rounds."""

from activeloop.stopping.base import Reading, Rule, with_readings
from activeloop.stopping.combining import AllOf, AnyOf, Never
from activeloop.stopping.labelled import Budget, Plateau, Target
from activeloop.stopping.loading import RULES, as_rule, check_rules, from_config, load_rule
from activeloop.stopping.stabilising import (
    ClassificationChange,
    Kappa,
    OverallUncertainty,
    PerformanceDifference,
)

__all__ = [
    "RULES",
    "AllOf",
    "AnyOf",
    "Budget",
    "ClassificationChange",
    "Kappa",
    "Never",
    "OverallUncertainty",
    "PerformanceDifference",
    "Plateau",
    "Reading",
    "Rule",
    "Target",
    "as_rule",
    "check_rules",
    "from_config",
    "load_rule",
    "with_readings",
]
