import math
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from activeloop import indexes, neighbor_tables, neighbors
from activeloop.errors import ConfigError, StrategyError
from activeloop.indexes import search_on_device
from activeloop.neighbors import NeighborSearch, PoolNeighbors, nearest


def brute_force(x: np.ndarray, m: int, reference: np.ndarray | None):
    """Return sorted distances and indices, the row itself left out, ties by index."""
    allowed = range(len(x)) if reference is None else sorted(reference)
    distances = np.full((len(x), m), np.inf)
    indices = np.full((len(x), m), -1)
    for i in range(len(x)):
        found = sorted((float(np.linalg.norm(x[i] - x[j])), j) for j in allowed if j != i)[:m]
        for column, (distance, j) in enumerate(found):
            distances[i, column], indices[i, column] = distance, j
    return distances, indices


@settings(deadline=None)
@given(
    n=st.integers(1, 30),
    m=st.integers(1, 8),
    seed=st.integers(0, 1000),
    labelled=st.one_of(st.none(), st.integers(0, 10)),
)
def test_equals_brute_force_with_and_without_reference(n, m, seed, labelled):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    reference = None if labelled is None else rng.choice(n, min(labelled, n), replace=False)
    distances, indices = nearest(torch.from_numpy(x), m, reference, normalize=False)
    expected, found = brute_force(x, m, reference)
    np.testing.assert_array_equal(indices, found)
    np.testing.assert_allclose(distances, expected, rtol=1e-5, atol=1e-6)


def test_duplicates_are_neighbours_of_each_other_and_never_of_themselves():
    x = torch.zeros(6, 2)
    x[5] = torch.tensor([1.0, 0.0])
    distances, indices = nearest(x, 3, normalize=False)
    for row in range(6):
        assert row not in indices[row].tolist()
        assert len(set(indices[row].tolist())) == 3
    assert distances[:5].max() == 0
    assert distances[5].tolist() == [1, 1, 1]


def test_more_duplicates_than_the_search_is_wide():
    _, indices = nearest(torch.ones(40, 3), 2)
    assert all(row not in indices[row].tolist() for row in range(40))
    assert (indices >= 0).all()


def test_equal_distances_are_ordered_by_number():
    circle = torch.tensor([[0.0, 0], [1, 0], [0, 1], [-1, 0], [0, -1], [3, 3]])
    _, indices = nearest(circle, 4, normalize=False)
    assert indices[0].tolist() == [1, 2, 3, 4]
    found = np.array([[4, 2, 3, 1, 0]])
    rows = neighbors._Rows(circle, normalize=False)
    assert neighbors._ordered(rows, np.array([0]), found)[1].tolist() == [[1, 2, 3, 4, -1]]


def test_normalisation_makes_length_irrelevant_and_keeps_zero_rows():
    x = torch.tensor([[1.0, 0.0], [100.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
    distances, indices = nearest(x, 1)
    assert indices[:3, 0].tolist() == [1, 0, 3]  # the zero row is at 1, the others at sqrt(2)
    assert distances[2, 0] == 1
    assert distances[3, 0] == 1


def test_fewer_than_m_neighbours_are_filled_up():
    distances, indices = nearest(torch.eye(2), 3)
    assert indices.tolist() == [[1, -1, -1], [0, -1, -1]]
    assert distances[0, 0] == pytest.approx(math.sqrt(2))
    assert distances[:, 1:].isinf().all()


def test_a_single_sample_has_no_neighbours():
    distances, indices = nearest(torch.ones(1, 4), 2)
    assert indices.tolist() == [[-1, -1]]
    assert distances.isinf().all()


def test_rows_that_were_not_predicted_are_left_out():
    x = torch.tensor([[0.0, 1], [math.nan, math.nan], [0.1, 1], [0.2, 1]])
    _, indices = nearest(x, 2)
    assert indices.tolist() == [[2, 3], [-1, -1], [3, 0], [2, 0]]


def test_small_distances_are_exact():
    x = torch.tensor([[1000.0, 0.0], [1000.0, 1e-2], [2000.0, 0.0]])
    distances, _ = nearest(x, 1, normalize=False)
    assert distances[0, 0] == pytest.approx(1e-2, rel=1e-3)


def test_m_below_one_is_an_error():
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        nearest(torch.eye(3), 0)


def test_tables_are_kept_by_content_and_handed_out_as_copies(monkeypatch):
    calls = []
    real = neighbors.nearest
    monkeypatch.setattr(neighbors, "nearest", lambda *a, **k: calls.append(a) or real(*a, **k))
    features = torch.randn(20, 3, generator=torch.Generator().manual_seed(5))
    labelled = np.array([1, 2])
    first = PoolNeighbors(features, None, labelled)(3)
    first[1].fill_(-7)
    again = PoolNeighbors(features.clone(), None, np.array([4]))(3)
    assert len(calls) == 1
    assert (again[1] >= 0).all()
    PoolNeighbors(features, None, labelled)(3, "labelled")
    PoolNeighbors(features + 1, None, labelled)(3)
    assert len(calls) == 3


def test_labelled_reference_and_embedding_space():
    features, embeddings = torch.eye(4), torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    near = PoolNeighbors(features, embeddings, np.array([0, 3]))
    assert near(1, "labelled", space="embeddings", normalize=False)[1].tolist() == [
        [3],
        [0],
        [3],
        [0],
    ]


def test_absent_spaces_say_what_to_choose():
    with pytest.raises(StrategyError, match="embed=pca"):
        PoolNeighbors(torch.eye(3), None, np.array([0]))(1, space="embeddings")
    with pytest.raises(StrategyError, match="before the first round"):
        PoolNeighbors(None, torch.eye(3), np.array([0]))(1)
    with pytest.raises(ConfigError, match="reference must be one of pool, labelled"):
        PoolNeighbors(torch.eye(3), None, np.array([0]))(1, "lablled")  # type: ignore[arg-type]


def test_queries_are_answered_in_their_order_and_searched_once(monkeypatch):
    asked = []
    real = neighbors.nearest

    def watch(*arguments, **options):
        asked.append(options["queries"].tolist())
        return real(*arguments, **options)

    monkeypatch.setattr(neighbors, "nearest", watch)
    embeddings = torch.randn(30, 3, generator=torch.Generator().manual_seed(9))
    near = PoolNeighbors(None, embeddings, np.array([0]))
    some = near(2, space="embeddings", queries=np.array([7, 3]))
    more = near(2, space="embeddings", queries=np.array([3, 9, 7]))
    assert asked == [[3, 7], [9]]
    everything = nearest(embeddings, 2)
    for found, rows in ((some, [7, 3]), (more, [3, 9, 7])):
        assert torch.equal(found[0], everything[0][rows])
        assert torch.equal(found[1], everything[1][rows])


# -- approximate indexes ------------------------------------------------------------------


def clouds(n=4000, dimensions=16, seed=0):
    rng = np.random.default_rng(seed)
    centres = 3 * rng.normal(size=(20, dimensions))
    return torch.from_numpy(centres[np.arange(n) % 20] + rng.normal(size=(n, dimensions))).float()


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
@pytest.mark.parametrize("recall", [0.9, 0.99])
def test_an_index_finds_the_share_of_neighbours_that_is_asked_for(index, recall, caplog):
    x = clouds()
    exact = nearest(x, 5, search=NeighborSearch(index="exact"))[1]
    with caplog.at_level("INFO", "activeloop.neighbors"):
        found = nearest(x, 5, search=NeighborSearch(index=index, recall=recall))[1]
    share = np.mean(
        [len({*a} & {*b}) / 5 for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
    )
    assert share >= recall - 0.01  # it was tuned on a sample
    assert (found >= 0).all()
    assert (found != torch.arange(len(x))[:, None]).all()
    logged = float(caplog.text.rpartition("recall ")[2].partition(",")[0])
    assert logged == pytest.approx(share, abs=0.02)


def test_an_index_gives_the_same_neighbours_each_time():
    search = NeighborSearch(index="ivf", recall=0.8)
    first, second = (nearest(clouds(), 5, search=search) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_an_index_answers_rows_that_are_no_references():
    x, reference = clouds(), np.arange(100, 1500)
    queries = np.r_[1990:2000, 0:20, 700:720]
    search = NeighborSearch(index="ivf", recall=1.0)
    found = nearest(x, 5, reference, queries=queries, search=search)[1]
    assert torch.equal(found, nearest(x, 5, reference, queries=queries)[1])


def test_rows_on_which_recall_is_measured_are_searched_in_parts(monkeypatch):
    x = clouds(300, 4)
    rows, everything = neighbors._Rows(x, normalize=False), np.arange(300)
    monkeypatch.setattr(indexes, "rows_at_a_time", lambda size: 7)
    found = indexes._streamed(rows, everything[::-1].copy(), np.arange(20), 9)
    true = torch.cdist(x[:20], x, compute_mode="donot_use_mm_for_euclid_dist").argsort(dim=1)[:, :9]
    assert [set(row) for row in (299 - found).tolist()] == [set(row) for row in true.tolist()]


def test_what_the_index_does_not_find_is_searched_exactly(monkeypatch):
    monkeypatch.setattr(indexes._Lists, "efforts", (1,))
    x = torch.cat([clouds(400, 4), torch.full((3, 4), 40.0) + torch.eye(3, 4)])
    found = nearest(x, 30, normalize=False, search=NeighborSearch(index="ivf", recall=0.01))[1]
    assert (found >= 0).all()  # the three lie in a list of their own, too small for 30 neighbours


def test_a_recall_that_is_not_reached_is_a_warning(monkeypatch, caplog):
    monkeypatch.setattr(indexes._Lists, "efforts", (1,))
    nearest(clouds(), 5, search=NeighborSearch(index="ivf", recall=1.0))
    assert "less than neighbors.recall=1: use neighbors.index=exact" in caplog.text


def test_auto_is_exact_until_that_takes_long(monkeypatch, caplog):
    caplog.set_level("INFO", "activeloop.neighbors")
    x = clouds()
    nearest(x, 5)
    assert not caplog.text
    monkeypatch.setattr(indexes, "_EXACT_WORK", 1e6)
    nearest(x, 5, queries=np.arange(20))  # an index would take longer to build than these few
    assert not caplog.text
    nearest(x, 5)
    assert "IVF" in caplog.text


@pytest.mark.parametrize("normalize", [True, False])
def test_the_search_for_a_gpu_finds_the_same(normalize):
    x = clouds(500, 6)
    vectors = torch.nn.functional.normalize(x, dim=1) if normalize else x
    everything = torch.arange(500)
    found = search_on_device(vectors, everything, everything, 6, block=64)
    expected = nearest(x, 5, normalize=normalize)[1]
    for row in range(500):
        assert {*found[row].tolist()} == {row, *expected[row].tolist()}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_neighbours_on_a_gpu_equal_those_on_the_cpu():
    x = clouds(3000)
    distances, indices = nearest(x.cuda(), 5)
    expected = nearest(x, 5)
    assert indices.is_cuda
    assert torch.equal(indices.cpu(), expected[1])
    assert torch.allclose(distances.cpu(), expected[0], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index": "flat"}, "neighbors.index must be one of auto, exact, ivf, hnsw"),
        ({"recall": 0.0}, "neighbors.recall must be a number above 0 and at most 1"),
        ({"recall": 1.5}, "neighbors.recall"),
    ],
)
def test_search_settings_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        NeighborSearch(**options)


# -- kept on disk -------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    """A pool whose tables are kept in a folder, and memory that has forgotten them."""
    embeddings = clouds(50, 3, seed=3)

    def near(space="embeddings", changed=0.0):
        neighbors._tables.forget()
        vectors = embeddings + changed
        search = NeighborSearch(cache=tmp_path / "cache")
        return PoolNeighbors(vectors, vectors, np.array([0]), search)(4, space=space)

    near.folder = tmp_path / "cache"
    yield near
    neighbors._tables.forget()


def test_neighbours_in_embeddings_are_read_back_by_another_process(kept, monkeypatch):
    first = kept()
    monkeypatch.setattr(neighbors, "nearest", None)  # not searched again
    second = kept()
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_other_embeddings_are_another_table_and_features_of_a_round_are_not_kept(kept):
    kept("features")
    assert not kept.folder.exists()
    kept()
    kept(changed=1.0)
    assert len(list(kept.folder.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"no table", None])
def test_a_damaged_table_is_searched_anew(kept, damage, caplog):
    first = kept()
    (path,) = kept.folder.iterdir()
    path.write_bytes(path.read_bytes()[:-90] if damage is None else damage)
    second = kept()
    assert torch.equal(first[1], second[1])
    assert "searched anew" in caplog.text
    caplog.clear()
    kept()
    assert not caplog.text


def test_a_folder_that_cannot_be_written_costs_only_the_cache(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    search = NeighborSearch(cache=tmp_path / "file" / "cache")
    x = clouds(40, 3, seed=4)
    near = PoolNeighbors(None, x, np.array([0]), search)
    assert torch.equal(near(2, space="embeddings")[1], nearest(x, 2)[1])
    assert "cannot keep neighbours" in caplog.text


def test_the_oldest_tables_on_disk_go_first(kept, monkeypatch):
    kept()
    (oldest,) = kept.folder.iterdir()
    monkeypatch.setattr(neighbor_tables, "_ON_DISK", oldest.stat().st_size * 2)
    os.utime(oldest, (1, 1))
    kept(changed=1.0)
    kept(changed=2.0)
    assert not oldest.exists()
    assert len(list(kept.folder.iterdir())) == 2
