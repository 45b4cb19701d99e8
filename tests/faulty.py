"""A run that takes milliseconds, for tests that end it in all ways."""

from fakes import CentroidLearner, blobs

from activeloop import ActiveLoop, load_strategy


def make(run):
    """Return a run of three rounds that needs the weights of each to go on, and the labels."""
    data, hidden = blobs()
    loop = ActiveLoop(
        data,
        CentroidLearner(warm_start=True),
        load_strategy("badge"),
        test_labels=hidden.test,
        initial=6,
        query_size=6,
        rounds=2,
        stop_set=20,
        directory=run,
    )
    return loop, hidden.pool


def play(run, resume=False, told=None):
    """Run it to its end, from wherever it is; the keys of what was answered are added to `told`.

    There is no other way to take it up, so that `resume` says nothing.
    """
    loop, truth = make(run)
    try:
        while (query := loop.ask()) is not None:
            loop.tell(query, {index: int(truth[index]) for index in query.open.tolist()})
            if told is not None:
                told += query.keys
    finally:
        loop.files.close()
