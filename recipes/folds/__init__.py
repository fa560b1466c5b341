"""Cross-validation: one config on each fold of the rows, every row tested once.

Nadeau & Bengio, "Inference for the Generalization Error" (2003), for the interval and the test,
https://doi.org/10.1023/A:1024068626366

    t = mean(d) / sqrt((1 / J + n_test / n_rest) var(d))    d: J differences, one a fold and repeat

    python -m recipes.folds --recipe regress --folds 5 --data=Tabular --data.path=train.csv
    python -m recipes.folds --recipe regress --folds 5 --config=lbfgs --against runs/regress/train

Runs:     <root>/<recipe>/<name>-f<fold>, of a further repeat <name>-r<repeat>f<fold>, in the group
          <name>; the fold is the test split, validation is taken from the rest; further flags are
          those of `fit`, in which {fold} and {repeat} are the run's
Again:    the same command trains what is missing and resumes what was cut off; a run of other
          settings under the same name is refused, and nothing is lost
Ends:     with mean ± std of each test metric over the folds, and in <root>/<recipe>/<name>/ with
          out_of_fold.csv (a prediction for each row, of the run that has not seen it), folds.json
          and the comparison of recipes.compare
Differs:  from scikit-learn's cross_val_score in the validation rows, which are no training rows
          (--data.val_size=0: none); the folds are its own
"""
