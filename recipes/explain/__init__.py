"""Why a run predicts what it does: how much each column, pixel or word adds to a prediction.

Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks" (2017),
https://arxiv.org/abs/1703.01365; Lundberg & Lee, "A Unified Approach to Interpreting Model
Predictions" (2017), https://arxiv.org/abs/1705.07874; Ribeiro, Singh & Guestrin, "Why Should I
Trust You?" (2016), https://arxiv.org/abs/1602.04938

    integrated_gradients  (x_i - b_i) int_0^1 df(b + a (x - b)) / dx_i da
    kernel_shap           sum_S |S|! (n - |S| - 1)! / n! (v(S + i) - v(S))    v(S): f where S alone
                          is as in x; exact up to 10 features, sampled above
    gradient_shap, lime, feature_ablation, occlusion, and permutation (of a table's columns)

    python -m recipes.explain runs/regress/diabetes-1 --method kernel_shap permutation
    python -m recipes.explain runs/classify/digits-1 --rows 0-3 --method integrated_gradients lime

Explains:  a table's prediction in the target's unit, or the probability of a class, as `predict`
           writes it; what `predict` would see: test rows, or those of --data.predict
Checks:    that integrated gradients and Shapley values add up to f(x) - f(b); prints by how much
           they miss it, and ends with status 1 above --tolerance
Files:     in --output, by default <run>/explain: attributions.csv, bars.png and summary.png of
           tables, heat.png of pictures, words.html of texts, permutation.csv and .png; in place
           of an earlier call's
Needs:     pip install -e '.[explain]', but for kernel_shap up to 10 features and permutation
"""
