"""Several runs as one: their predictions averaged, the best of them chosen, or their weights mixed.

Caruana, Niculescu-Mizil, Crew & Ksikes, "Ensemble Selection from Libraries of Models" (2004),
https://doi.org/10.1145/1015330.1015432; Wortsman et al., "Model soups" (2022),
https://arxiv.org/abs/2203.05482

    average    p(y | x) = 1/K sum_k p_k(y | x)
    selected   p(y | x) = sum_k n_k p_k(y | x) / sum_k n_k    n: greedy, on validation
    soup       p(y | x; w),  w = 1/K sum_k w_k                greedy_soup: of the runs that help

    python -m recipes.ensemble runs/classify/a runs/classify/b runs/classify/c
    python -m recipes.ensemble runs/regress/* --data.predict=new.csv --output=mine

Averages:  probabilities; normal distributions, by the mixture's mean and variance; quantiles
Files:     in --output, by default <folder of the runs>/ensemble: ensemble.json (who counts how
           much, all scores), predictions.csv (as `predict` writes it, of --method), and
           soup.safetensors, the weights of greedy_soup
Chooses:   on validation alone; test has columns of its own, and no influence
Differs:   selection starts with no run and is not bagged; a soup's batch-norm statistics are
           computed anew from the training data
"""
