"""One config over several seeds: what is missing is trained, or resumed, then all is compared.

    python -m recipes.seeds --recipe distill --seeds 5 --data.split_seed={seed} --test
    python -m recipes.seeds --recipe distill --seeds 5 --name=soft --model.temperature=8

Runs:     <root>/<recipe>/<name>-s<seed>, in the group <name>; further flags are those of `fit`, in
          which {seed} is the run's, say for the split of the data or for a teacher of its own
Again:    the same command trains what is missing and resumes what was cut off; a run of other
          settings under the same name is refused, and nothing is lost
Ends:     with the table of recipes.compare, whose picture and page are in <root>/<recipe>/<name>/;
          --test tests each run once, --save keeps the numbers
Differs:  from as many `fit` commands in time alone, as the packages are imported once
"""
