"""Train a classifier on the iris flowers, log it with MLflow, keep model and holdout."""

import argparse
import json
from pathlib import Path

import joblib
import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split

OUTPUTS = Path("outputs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regularization", type=float, default=1.0, help="inverse strength, C")
    options = parser.parse_args()

    features, species = load_iris(return_X_y=True)
    seen, unseen, known, expected = train_test_split(
        features, species, test_size=0.3, random_state=7, stratify=species
    )
    model = LogisticRegression(C=options.regularization, max_iter=1000)
    scores = cross_val_score(model, seen, known, cv=5)
    model.fit(seen, known)

    with mlflow.start_run():
        mlflow.log_param("regularization", options.regularization)
        for step, score in enumerate(scores):
            mlflow.log_metric("fold_accuracy", score, step=step)
        mlflow.log_metric("cv_accuracy", scores.mean())

    OUTPUTS.mkdir(exist_ok=True)
    joblib.dump(model, OUTPUTS / "model.joblib")
    joblib.dump((unseen, expected), OUTPUTS / "holdout.joblib")
    example = {"instances": unseen[:3].tolist()}
    (OUTPUTS / "example.json").write_text(json.dumps(example))
    print(f"cross-validated accuracy {scores.mean():.3f} over {len(scores)} folds")


if __name__ == "__main__":
    main()
