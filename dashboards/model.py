"""ML Model Performance: whether the model is right, whether it still sees the world it was made for, and what it goes by."""

from __future__ import annotations

from dashboards.frame import PROCESS, STRATEGY, Dashboard, row
from dashboards.panels import Look, buckets, chart, heat, ranking, stat
from dashboards.promql import RATE, P, S, histogram, quantile
from dashboards.queries import prom, prom_buckets, prom_heat, prom_now
from dashboards.vocabulary import Unit

CONFIDENCE = "trading_ml_prediction_confidence"
DRIFT = ("ModelDriftWarning", "ModelDriftCritical")

DASHBOARD = Dashboard(
    uid="crowsnest-model",
    title="ML Model Performance",
    description="Whether the model is right, whether it still sees the world it was made for, and what it goes by.",
    tags=("trading",),
    variables=(PROCESS, STRATEGY),
    related=("crowsnest-strategy", "crowsnest-trading"),
    rows=(
        row(
            "Is the model still right?",
            (
                stat(
                    "Accuracy",
                    "Share of right predictions. In the demo: of closed positions with a profit.",
                    Unit.RATIO,
                    prom_now(f"min(trading_ml_model_accuracy{{{P}}})", "accuracy"),
                    look=Look(low=0, high=1),
                ),
                stat(
                    "Drift (PSI)",
                    "Population Stability Index of what the model sees now against what it was made with.",
                    Unit.NUMBER,
                    prom_now(f"max(trading_ml_psi_drift{{{P}}})", "PSI"),
                    look=Look(alerts=DRIFT, decimals=3),
                ),
                stat(
                    "Median confidence",
                    "Half of the predictions are less sure of themselves.",
                    Unit.RATIO,
                    prom_now(quantile(0.5, CONFIDENCE, S), "p50"),
                    look=Look(low=0, high=1),
                ),
                stat(
                    "Predictions",
                    "A second, of the chosen strategies.",
                    Unit.PER_SECOND,
                    prom_now(f"sum(rate({CONFIDENCE}_count{{{S}}}{RATE}))", "predictions"),
                ),
            ),
            (
                chart(
                    "Accuracy over time",
                    "Share of right predictions.",
                    Unit.RATIO,
                    prom(f"min(trading_ml_model_accuracy{{{P}}})", "accuracy"),
                    look=Look(low=0, high=1),
                ),
                chart(
                    "Drift over time (PSI)",
                    "With the bounds of the two alerts: watch it, retrain.",
                    Unit.NUMBER,
                    prom(f"max(trading_ml_psi_drift{{{P}}})", "PSI"),
                    look=Look(alerts=DRIFT, low=0),
                ),
            ),
        ),
        row(
            "What does it go by?",
            (
                ranking(
                    "Feature importance",
                    "The weight of each feature. In the demo: what goes with the profit of the last 250 closed positions.",
                    Unit.RATIO,
                    prom_now(f"max by (feature) (trading_ml_feature_importance{{{P}}})", "{{feature}}"),
                    look=Look(low=0, high=1),
                ),
                chart(
                    "Feature importance over time",
                    "A feature that takes over is a reason to look at its data.",
                    Unit.RATIO,
                    prom(f"max by (feature) (trading_ml_feature_importance{{{P}}})", "{{feature}}"),
                    look=Look(low=0, high=1),
                ),
            ),
        ),
        row(
            "How sure is it of itself?",
            (
                buckets(
                    "Prediction confidence distribution",
                    "Predictions by confidence, each bar up to its bound.",
                    Unit.COUNT,
                    prom_buckets(histogram(CONFIDENCE, S)),
                ),
                heat(
                    "Prediction confidence over time",
                    "Confidence that moves as a whole means another market or another input.",
                    Unit.RATIO,
                    prom_heat(histogram(CONFIDENCE, S, RATE)),
                ),
                chart(
                    "Median confidence by strategy",
                    "Who is sure, who is not.",
                    Unit.RATIO,
                    prom(quantile(0.5, CONFIDENCE, S, "strategy"), "{{strategy}}"),
                    look=Look(low=0, high=1),
                ),
            ),
        ),
    ),
)
