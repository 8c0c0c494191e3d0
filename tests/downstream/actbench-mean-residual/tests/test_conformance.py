import pytest


@pytest.mark.actbench("mean-residual")
def test_conformance(check): check()
