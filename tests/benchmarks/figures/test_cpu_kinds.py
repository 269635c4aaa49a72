import pytest

from edge_mri_bench.figures.cpu_kinds import ARM, AVX2, OTHER, VNNI, kind_of


@pytest.mark.parametrize(
    ("architecture", "features", "kind"),
    [
        ("x86_64", ["avx", "avx2", "fma", "avx512f", "avx512_vnni"], VNNI),
        ("x86_64", ["avx", "avx2", "avx_vnni"], VNNI),
        ("x86_64", ["avx", "avx2", "fma", "avx512f", "avx512bw"], AVX2),
        ("x86_64", ["avx", "avx2", "fma"], AVX2),
        ("x86_64", [], OTHER),
        ("aarch64", ["asimd", "asimddp", "i8mm"], ARM),
        ("arm64", [], ARM),
    ],
)
def test_a_kind_is_what_int8_arithmetic_has_there(architecture, features, kind):
    assert kind_of({"architecture": architecture, "features": features}) is kind


def test_a_cpu_that_can_do_less_promises_less():
    assert VNNI.floor > AVX2.floor > ARM.floor >= OTHER.floor >= 1
