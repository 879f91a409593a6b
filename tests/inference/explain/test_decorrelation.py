import pytest
import torch

from landmarkfer.errors import RunError
from landmarkfer.inference.explain.decorrelation import Decorrelation


@pytest.fixture(scope="module")
def matrix():
    """A symmetric whitening with 200 directions of small factors, and 20 for all others."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.linalg.qr(torch.randn(1434, 1434, dtype=torch.float64, generator=generator))[0]
    values = torch.cat([torch.linspace(0.1, 5, 200, dtype=torch.float64), torch.full((1234,), 20.0)])
    return (vectors * values) @ vectors.T


@pytest.fixture(scope="module")
def displacement():
    return torch.randn(2, 478, 3, generator=torch.Generator().manual_seed(1))


def test_that_of_a_matrix_is_its_product_and_can_be_undone(matrix, displacement):
    decorrelation = Decorrelation.of_matrix(matrix)
    whitened = decorrelation(displacement)
    torch.testing.assert_close(whitened.flatten(1), displacement.flatten(1).double() @ matrix)
    torch.testing.assert_close(decorrelation.inverse(whitened), displacement.double())


def test_the_compact_form_is_the_same_where_the_rest_is_scaled_alike(matrix, displacement):
    whole = Decorrelation.of_matrix(matrix)
    torch.testing.assert_close(whole.compact(200)(displacement), whole(displacement))
    coarse = whole.compact(100)
    assert coarse.vectors.shape == (1434, 100)
    assert 18 < coarse.rest < 20, "the mean of what is left"
    torch.testing.assert_close(coarse.inverse(coarse(displacement)), displacement.double())


def test_it_is_stored_in_half_precision(matrix, displacement, tmp_path):
    compact = Decorrelation.of_matrix(matrix).compact(200)
    compact.write(tmp_path / "d.safetensors")
    assert (tmp_path / "d.safetensors").stat().st_size < 600_000
    read = Decorrelation.read(tmp_path / "d.safetensors")
    torch.testing.assert_close(read(displacement), compact(displacement), rtol=0, atol=0.02)


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "d.safetensors").write_bytes(b"no tensors")
    with pytest.raises(RunError, match=r"d\.safetensors is damaged: .*install the package again"):
        Decorrelation.read(tmp_path / "d.safetensors")


def test_none_leaves_displacements_as_they_are(displacement):
    torch.testing.assert_close(Decorrelation.none()(displacement), displacement.double())
