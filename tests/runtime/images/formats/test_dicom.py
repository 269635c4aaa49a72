"""DICOM files: pydicom's own test files, and some written here for what those do not cover."""

import json
import logging
import pickle
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_mri.errors import ImageDecodeError, ImageSizeError, ImageSupportError
from edge_mri.images import Limits, decode_frames, read_frames, read_image

pydicom = pytest.importorskip("pydicom", reason="needs the extra [dicom]")
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402
from pydicom.uid import (  # noqa: E402
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from edge_mri.images.formats import dicom, dicom_elements  # noqa: E402

FILES = Path(pydicom.__file__).parent / "data/test_files"
WHY_NOT = "not a DICOM image that can be decoded, or damaged"


def written(pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian, **elements: object) -> bytes:
    """A DICOM file with a patient in it."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    header.PatientName, header.PatientID, header.StudyDate = "Secret^Name", "ID4711", "19991231"
    header.SeriesInstanceUID = "1.2.3.4711"
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        header.NumberOfFrames = len(pixels)
    header.BitsAllocated = header.BitsStored = pixels.dtype.itemsize * 8
    header.HighBit, header.PixelRepresentation = header.BitsStored - 1, 0
    header.PixelData = pixels.tobytes()
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of values that no standard allows
        for name, value in elements.items():
            setattr(header, name, value)
        pydicom.dcmwrite(file, header, enforce_file_format=True)
    return file.getvalue()


def ramp(last: int = 999) -> np.ndarray:
    return np.linspace(0, last, 1000).round().astype(np.uint16).reshape(25, 40)


def only(data: bytes) -> np.ndarray:
    (frame,) = decode_frames(data)
    return frame.pixels


SAME_MR = ["RLE", "bigendian", "expb", "implicit", "padded", "jp2klossless", "jpeg_ls_lossless"]


@pytest.mark.parametrize("kind", SAME_MR)
def test_one_image_is_the_same_in_every_transfer_syntax(kind):
    expected = read_image(FILES / "MR_small.dcm")
    assert expected.shape == (64, 64)
    np.testing.assert_array_equal(read_image(FILES / f"MR_small_{kind}.dcm"), expected)


def test_the_window_of_a_real_file_is_what_pydicom_makes_of_it():
    header = pydicom.dcmread(FILES / "MR_small.dcm")
    expected = pydicom.pixels.apply_voi_lut(header.pixel_array.astype(float), header)
    low, high = -(2.0**15), 2.0**15 - 1  # what pydicom scales 16 signed bits to
    scaled = (expected - low) / (high - low) * 255
    assert np.abs(read_image(FILES / "MR_small.dcm") - scaled).max() <= 0.51


@pytest.mark.parametrize(
    ("name", "shape", "count", "plane"),
    [
        ("CT_small.dcm", (128, 128), 1, "axial"),
        ("examples_overlay.dcm", (300, 484), 1, "axial"),
        ("JPEG2000.dcm", (1024, 256), 1, None),
        ("693_J2KI.dcm", (512, 512), 1, "axial"),
        ("JPEGLSNearLossless_16.dcm", (50, 10), 1, None),
        ("SC_rgb_rle_16bit_2frame.dcm", (100, 100), 2, None),
        ("examples_ybr_color.dcm", (240, 320), 30, None),
        ("examples_palette.dcm", (350, 800), 1, None),
        ("SC_ybr_full_422_uncompressed.dcm", (100, 100), 1, None),
        ("rtdose_rle.dcm", (10, 10), 15, "axial"),
        ("liver_1frame.dcm", (512, 512), 1, "axial"),
        ("image_dfl.dcm", (512, 512), 1, None),
        ("dicomdirtests/98892003/MR700/4678", (16, 16), 1, "sagittal"),
    ],
)
def test_real_files_of_many_kinds_are_frames(name, shape, count, plane):
    frames = list(read_frames(FILES / name))
    numbers = [None] if count == 1 else list(range(1, count + 1))
    assert [frame.frame for frame in frames] == numbers
    for frame in frames:
        assert frame.pixels.shape == shape
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.max() > 60
        assert frame.plane == plane


def test_the_colours_of_one_picture_are_one_grey_however_it_is_compressed():
    expected = read_image(FILES / "SC_rgb_rle.dcm").astype(int)
    for name in ("SC_rgb_dcmtk_+eb+cy+n1", "SC_rgb_jls_lossy_line", "SC_rgb_rle_32bit"):
        assert np.abs(read_image(FILES / f"{name}.dcm") - expected).mean() < 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("test-SR.dcm", "the DICOM file holds no image"),
        ("rtplan.dcm", "the DICOM file holds no image"),
        ("no_meta_group_length.dcm", "the DICOM file holds no image"),
        ("dicomdirtests/DICOMDIR", "the DICOM file holds no image"),
        ("MR_truncated.dcm", "its pixels are cut off: 8,130 of 8,192 bytes"),
        ("badVR.dcm", f"{WHY_NOT} (ValueError)"),
    ],
)
def test_real_files_that_hold_no_image_say_so(name, reason):
    with pytest.raises(ImageDecodeError) as refusal:
        list(read_frames(FILES / name))
    assert str(refusal.value) == reason


def deflated(body: bytes, syntax: bytes = b"1.2.840.10008.1.2.1.99") -> bytes:
    """A DICOM file that claims a transfer syntax and whose data set is deflated."""
    squeezing = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    syntax += b"\0" * (len(syntax) % 2)
    element = b"\x02\0\x10\0UI" + struct.pack("<H", len(syntax)) + syntax
    head = b"\x02\0\0\0UL\x04\0" + struct.pack("<I", len(element)) + element
    return bytes(128) + b"DICM" + head + squeezing.compress(body) + squeezing.flush()


def test_a_deflated_file_is_what_it_is_without_being_deflated():
    header = pydicom.dcmread(FILES / "MR_small.dcm")
    plain = BytesIO()
    header.save_as(plain)
    length = struct.unpack_from("<I", plain.getvalue(), 140)[0]
    (frame,) = decode_frames(deflated(plain.getvalue()[144 + length :]))
    np.testing.assert_array_equal(frame.pixels, read_image(FILES / "MR_small.dcm"))


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (deflated(bytes(3_000_000)), ImageSizeError, "1,000,001 bytes, the limit is 1,000,000"),
        (deflated(b"")[:-1], ImageDecodeError, "the deflated DICOM data are cut off"),
        (deflated(b""), ImageDecodeError, "the DICOM file holds no image"),
        (deflated(b"")[:-2] + b"\xff\xff", ImageDecodeError, "data are damaged"),
        (deflated(b"1.2.840.10008.1.2.1.99"), ImageDecodeError, "deflated in this way is not read"),
        (deflated(b"", b"1.2.840.10008.1.2.8.1"), ImageDecodeError, "frames are deflated one by"),
        (bytes(128) + b"DICM1.2.840.10008.1.2.1.99", ImageDecodeError, "where its data begin"),
    ],
)
def test_what_is_deflated_is_inflated_within_bounds(data, error, reason):
    with pytest.raises(error) as refusal:
        list(decode_frames(data, Limits(max_bytes=1_000_000)))
    assert reason in str(refusal.value)


def test_a_compression_without_its_decoder_is_told_with_what_to_type(monkeypatch):
    monkeypatch.setattr("edge_mri.images.formats.dicom.PLUGINS", ("pydicom",))
    for name, extra in (("SC_rgb_jpeg_gdcm", "dicom-jpeg"), ("JPEG2000", "dicom")):
        with pytest.raises(ImageSupportError) as refusal:
            list(read_frames(FILES / f"{name}.dcm"))
        assert f"type: pip install 'edge-mri[{extra}]'" in str(refusal.value)


def test_a_window_is_the_files_own_after_rescaling():
    data = written(
        ramp(), RescaleSlope="2", RescaleIntercept="-100", WindowCenter="500.5", WindowWidth="801"
    )
    values = 2.0 * ramp() - 100
    expected = np.clip((values - 100) / 800, 0, 1) * 255
    assert np.abs(only(data) - expected).max() <= 0.51


@pytest.mark.parametrize(
    ("function", "at_center", "at_edge"), [("LINEAR_EXACT", 127.5, 0), ("SIGMOID", 127.5, 30.4)]
)
def test_other_window_functions_are_followed(function, at_center, at_edge):
    pixels = np.array([[500, 300]], np.uint16)
    data = written(pixels, WindowCenter="500", WindowWidth="400", VOILUTFunction=function)
    assert np.abs(only(data) - [[at_center, at_edge]]).max() <= 0.51


def test_the_first_of_several_windows_counts():
    several = written(ramp(), WindowCenter=["300", "900"], WindowWidth=["200", "50"])
    one = written(ramp(), WindowCenter="300", WindowWidth="200")
    np.testing.assert_array_equal(only(several), only(one))


@pytest.mark.parametrize("window", [{}, {"WindowCenter": "5", "WindowWidth": "0"}])
def test_without_a_window_the_values_set_the_range_and_defects_do_not(window):
    pixels = ramp()
    pixels[0, 0], pixels[20, 20] = 65535, 0
    shown = only(written(pixels, **window))
    assert np.median(shown) == pytest.approx(127.5, abs=2)
    assert (shown[0, 0], shown[-1, -1]) == (shown[1, 1], 255)
    assert shown[20, 20] == shown[19, 19]


def test_hot_pixels_do_not_show_through_a_window_either():
    pixels = ramp()
    whole = only(written(pixels, WindowCenter="500", WindowWidth="1000"))
    pixels[3, 3] = 4095
    shown = only(written(pixels, WindowCenter="500", WindowWidth="1000"))
    assert np.abs(shown.astype(int) - whole).max() <= shown[4, 4] - shown[3, 2]


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": "8191.5", "WindowWidth": "16383"},  # wider than the values
        {"WindowCenter": "30000", "WindowWidth": "1000"},  # beside them
        {"WindowCenter": "500", "WindowWidth": "10"},  # between two of them
        {"WindowCenter": "8191.5", "WindowWidth": "16383", "VOILUTFunction": "SIGMOID"},
    ],
)
def test_a_window_that_leaves_too_few_levels_is_not_followed(window):
    np.testing.assert_array_equal(only(written(ramp(), **window)), only(written(ramp())))


def test_a_window_is_followed_as_long_as_it_leaves_levels_or_there_are_no_more():
    quarter = only(written(ramp(), WindowCenter="1950", WindowWidth="3900"))
    assert 64 <= len(np.unique(quarter)) < 70
    two = np.repeat(np.array([[100, 300]], np.uint16), 4, axis=0)
    shown = only(written(two, WindowCenter="500", WindowWidth="1000"))
    assert shown[0].tolist() == [26, 77]


@pytest.mark.parametrize(("stored", "high"), [(12, 15), (12, 13), (10, 14), (9, 11)])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_values_are_the_bits_that_the_header_names(stored, high, signed, syntax):
    """What lies below and above them, such as an overlay of old, is none of the value."""
    values = np.linspace(0, 2 ** (stored - signed) - 1, 1000).astype(np.uint16).reshape(25, 40)
    shift = high + 1 - stored
    padded = (values << shift) | ((1 << shift) - 1) | np.uint16(0xFFFF << (high + 1) & 0xFFFF)
    bits = {"BitsStored": stored, "PixelRepresentation": signed}
    expected = only(written(values, **bits, HighBit=stored - 1))
    file = pydicom.dcmread(BytesIO(written(padded.astype(np.uint16), **bits, HighBit=high)))
    if syntax == RLELossless:
        file.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    data = BytesIO()
    file.save_as(data)
    np.testing.assert_array_equal(only(data.getvalue()), expected)


def compressed(pixels: np.ndarray) -> bytes:
    """A file in JPEG 2000, whose last element are its frames."""
    stream = bytes(cv2.imencode(".jp2", pixels)[1])
    stream = stream[stream.find(b"\xff\x4f\xff\x51") :]
    return written(pixels, JPEG2000Lossless, PixelData=encapsulate([stream]))


@given(
    st.sampled_from([np.uint8, np.uint16]),
    st.integers(1, 16),
    st.integers(0, 15),
    st.integers(0, 1),
    st.integers(1, 3),
    st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian]),
    st.integers(0, 2**32 - 1),
)
def test_plain_values_are_what_pydicom_makes_of_them(kind, bits, high, signed, count, syntax, seed):
    most = np.iinfo(kind).bits
    stored = min(bits, most)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 2**most, (count, 9, 7), kind)
    elements = {"BitsStored": stored, "HighBit": max(stored - 1, min(high, most - 1))}
    data = written(pixels, syntax, PixelRepresentation=signed, **elements)
    limits = Limits()
    ours = list(dicom._DicomImage(data, limits).stored_frames())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dicom._DicomImage, "_plain_type", lambda _: None)
        theirs = list(dicom._DicomImage(data, limits).stored_frames())
    assert len(ours) == len(theirs) == count
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


def test_frames_without_their_last_delimiter_are_read():
    noise = np.random.default_rng(0).integers(0, 256, (64, 96), np.uint8)
    pixels = cv2.GaussianBlur(noise, None, 3)
    whole = compressed(pixels)
    assert whole.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    np.testing.assert_array_equal(only(whole[:-8]), only(whole))
    for short in (20, 200):
        with pytest.raises(ImageDecodeError) as refusal:
            only(whole[:-short])
        assert str(refusal.value) == "its compressed pixels are cut off"


@pytest.mark.parametrize("many", [1, 3])
def test_stored_pixels_that_are_cut_off_say_so(many):
    pixels = np.stack([ramp()] * many) if many > 1 else ramp()
    data = written(pixels)
    with pytest.raises(ImageDecodeError) as refusal:
        list(decode_frames(data[:-100]))
    expected = 2000 * many
    assert str(refusal.value) == (
        f"its pixels are cut off: {expected - 100:,} of {expected:,} bytes"
    )


def test_a_lookup_table_is_the_window_where_there_is_one():
    table = Dataset()
    table.add_new(0x00283002, "US", [1000, 0, 8])
    table.add_new(0x00283006, "OW", np.arange(1000)[::-1].astype("<u2").tobytes())
    table.LUTDescriptor = [1000, 0, 16]
    shown = only(written(ramp(), VOILUTSequence=Sequence([table])))
    assert shown[0, 0] > shown[-1, -1]


def test_monochrome1_is_the_negative():
    plain = only(written(ramp(), WindowCenter="500", WindowWidth="1000"))
    other = {"PhotometricInterpretation": "MONOCHROME1"}
    turned = only(written(ramp(), WindowCenter="500", WindowWidth="1000", **other))
    np.testing.assert_array_equal(turned, 255 - plain)
    np.testing.assert_array_equal(only(written(ramp(), **other)), 255 - only(written(ramp())))


def test_a_negative_slope_turns_the_percentile_window_too():
    np.testing.assert_array_equal(
        only(written(ramp(), RescaleSlope="-1", RescaleIntercept="0")), 255 - only(written(ramp()))
    )


@pytest.mark.parametrize(
    ("directions", "plane"),
    [
        ([1, 0, 0, 0, 1, 0], "axial"),
        ([1, 0, 0, 0, 0, -1], "coronal"),
        ([0, 1, 0, 0, 0, -1], "sagittal"),
        ([1, 0, 0, 0, 0.9, 0.436], "axial"),
        ([0.707, -0.707, 0, 0.408, 0.408, -0.816], None),  # the normal is the same to all three
        ([0, 0, 0, 0, 0, 0], None),
    ],
)
def test_the_plane_is_the_one_the_orientation_says(directions, plane):
    data = written(ramp(), ImageOrientationPatient=[str(value) for value in directions])
    (frame,) = decode_frames(data)
    assert frame.plane == plane


@pytest.mark.parametrize(
    ("elements", "shape"),
    [
        ({"PixelSpacing": [1.0, 1.0]}, (25, 40)),
        ({"PixelSpacing": [2.0, 1.0]}, (50, 40)),
        ({"PixelSpacing": [0.5, 1.0]}, (25, 80)),
        ({"PixelAspectRatio": [2, 1]}, (50, 40)),
        ({"PixelSpacing": [1.0, 1.0], "PixelAspectRatio": [2, 1]}, (25, 40)),
        ({"PixelSpacing": [500.0, 1.0]}, (25, 40)),
        ({"PixelSpacing": [0.0, 1.0]}, (25, 40)),
    ],
)
def test_pixels_that_are_not_square_are_stretched(elements, shape):
    assert only(written(ramp(), **elements)).shape == shape


def test_a_frame_has_pixels_of_its_own_shape():
    measures = Dataset()
    measures.PixelSpacing = [2.0, 1.0]
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    data = written(np.stack([ramp()] * 2), SharedFunctionalGroupsSequence=Sequence([shared]))
    assert [frame.pixels.shape for frame in decode_frames(data)] == [(50, 40)] * 2


def test_a_stretched_image_keeps_to_the_limit():
    with pytest.raises(ImageSizeError, match="40 x 50 pixels, the limit is 1,500 pixels"):
        list(decode_frames(written(ramp(), PixelSpacing=[2.0, 1.0]), Limits(max_pixels=1500)))


def test_one_image_is_answered_with_the_plane_that_its_file_tells(tmp_path):
    from edge_mri.classifier import Classifier

    file = tmp_path / "slice.dcm"
    file.write_bytes(written(ramp(), ImageOrientationPatient=[0, 1, 0, 0, 0, -1]))
    classifier = Classifier.load(device="cpu")
    assert classifier.predict(file).plane == "sagittal"
    assert classifier.predict(file.read_bytes()).plane == "sagittal"
    assert [record.plane for record in classifier.stream([file])] == ["sagittal"]


def test_frames_have_windows_and_planes_of_their_own():
    """As enhanced MR has them: in functional groups, the shared one where a frame has none."""

    def group(**sequences: Dataset) -> Dataset:
        item = Dataset()
        for name, value in sequences.items():
            setattr(item, f"{name}Sequence", Sequence([value]))
        return item

    def dataset(**elements: object) -> Dataset:
        item = Dataset()
        for name, value in elements.items():
            setattr(item, name, value)
        return item

    shared = group(
        FrameVOILUT=dataset(WindowCenter="500", WindowWidth="1000"),
        PlaneOrientation=dataset(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
    )
    own = group(
        FrameVOILUT=dataset(WindowCenter="100", WindowWidth="200"),
        PlaneOrientation=dataset(ImageOrientationPatient=[0, 1, 0, 0, 0, -1]),
    )
    data = written(
        np.stack([ramp(), ramp()]),
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence([Dataset(), own]),
    )
    first, second = decode_frames(data)
    assert (first.frame, first.plane) == (1, "axial")
    assert (second.frame, second.plane) == (2, "sagittal")
    assert first.pixels.mean() == pytest.approx(127.5, abs=1)
    assert second.pixels.mean() > 220


AXIAL = [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("elements", "position"),
    [
        ({"ImageOrientationPatient": AXIAL, "ImagePositionPatient": [9, 9, -4]}, ("z", -4)),
        ({"ImageOrientationPatient": AXIAL, "ImagePositionPatient": [0, 0, 7.5]}, ("z", 7.5)),
        ({"ImageOrientationPatient": AXIAL, "InstanceNumber": 12}, ("number", 12)),
        ({"ImagePositionPatient": [0, 0, 7], "InstanceNumber": 3}, ("number", 3)),
        ({"ImageOrientationPatient": AXIAL, "ImagePositionPatient": [0, 0]}, None),
        ({"ImageOrientationPatient": [0] * 5, "ImagePositionPatient": [0, 0, 1]}, None),
        (
            {
                "ImageOrientationPatient": [0] * 6,
                "ImagePositionPatient": [0] * 3,
                "InstanceNumber": 4,
            },
            ("number", 4),
        ),
        ({"ImageOrientationPatient": [1, 0, 0] * 2, "InstanceNumber": 5}, ("number", 5)),
        ({}, None),
    ],
)
def test_a_slice_lies_where_its_header_says(elements, position):
    (frame,) = decode_frames(written(ramp(), **elements))
    known = {"0.00 0.00 1.00": "z", "instance": "number"}
    found = frame.position and (known[frame.position.stack], frame.position.along)
    assert found == position


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("ImagePositionPatient", rb"1.25\2.5\3.75", rb"1.25\2.x\3.75"),
        ("InstanceNumber", b"471100", b"47abc0"),
    ],
)
def test_a_place_that_is_no_number_costs_no_image(name, old, new):
    elements = {
        "ImageOrientationPatient": AXIAL,
        "ImagePositionPatient": [1.25, 2.5, 3.75],
        "InstanceNumber": 471100,
    }
    data = written(ramp(), **elements if name[1] == "m" else {"InstanceNumber": 471100})
    assert data.count(old) == 1
    (frame,) = decode_frames(data.replace(old, new))
    assert frame.position is None
    assert frame.pixels.shape == (25, 40)


def test_frames_lie_where_each_says_and_not_where_all_together_do():
    def lying(place: float) -> Dataset:
        item, group = Dataset(), Dataset()
        item.ImagePositionPatient = [0, 0, place]
        group.PlanePositionSequence = Sequence([item])
        return group

    places = [10.0, 0.0, 5.0]
    data = written(
        np.stack([ramp()] * 3),
        ImageOrientationPatient=AXIAL,
        PerFrameFunctionalGroupsSequence=Sequence(map(lying, places)),
    )
    assert [frame.position.along for frame in decode_frames(data)] == places
    data = written(
        np.stack([ramp()] * 3), ImageOrientationPatient=AXIAL, ImagePositionPatient=[0, 0, 5]
    )
    assert [frame.position for frame in decode_frames(data)] == [None] * 3


def test_frames_of_one_series_share_a_hash_that_is_not_its_identifier():
    first, other = written(ramp()), written(ramp(), SeriesInstanceUID="1.2.3.4712")
    series = [next(decode_frames(data)).series for data in (first, first, other)]
    assert series[0] == series[1] != series[2]
    assert len(series[0]) == 12
    assert "4711" not in series[0]


def test_a_frame_in_baseline_jpeg_is_decoded_like_a_jpeg_file():
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (64, 96), np.uint8), None, 3)
    jpeg = bytes(cv2.imencode(".jpg", image)[1])
    window = {"WindowCenter": "128", "WindowWidth": "256"}
    data = written(image, JPEGBaseline8Bit, PixelData=encapsulate([jpeg]), **window)
    assert (
        np.abs(only(data).astype(int) - cv2.imdecode(np.frombuffer(jpeg, np.uint8), 0)).max() <= 1
    )


@pytest.mark.parametrize("rows", [60_000, 70])
def test_a_frame_that_claims_another_size_than_its_header_is_never_decoded(rows):
    """A bomb: the header is harmless, the compressed frame inside would fill the memory."""
    stream = bytearray(cv2.imencode(".jp2", np.zeros((64, 96), np.uint8))[1])
    start = stream.find(b"\xff\x4f\xff\x51")
    stream[start + 12 : start + 16] = rows.to_bytes(4, "big")
    pixels = np.zeros((64, 96), np.uint8)
    data = written(pixels, JPEG2000Lossless, PixelData=encapsulate([bytes(stream[start:])]))
    with pytest.raises(ImageDecodeError) as refusal:
        only(data)
    assert str(refusal.value) == (
        f"the header says 96 x 64 pixels, its compressed frame 96 x {rows}"
    )


def test_a_compressed_frame_whose_boxes_have_no_length_is_refused():
    """pydicom 3.0 goes round in a circle there; fuzzing found it."""
    stream = bytearray(cv2.imencode(".jp2", np.zeros((64, 96), np.uint8))[1])
    assert stream[4:8] == b"jP  "
    stream[12:16] = b"\0\0\0\0"
    pixels = np.zeros((64, 96), np.uint8)
    data = written(pixels, JPEG2000Lossless, PixelData=encapsulate([bytes(stream)]))
    with pytest.raises(ImageDecodeError) as refusal:
        only(data)
    assert str(refusal.value) == "a box of the compressed frame has no length"


def test_a_header_that_claims_billions_of_pixels_is_refused():
    with pytest.raises(ImageSizeError, match="60,000 x 60,000 pixels"):
        only(written(ramp(), Rows=60_000, Columns=60_000))
    with pytest.raises(ImageSizeError, match="40 x 25 pixels, the limit is 999 pixels"):
        list(decode_frames(written(ramp()), Limits(max_pixels=999)))


@pytest.mark.parametrize("frames", ["-1", "2", "1000000000"])
def test_a_number_of_frames_that_is_not_there_is_an_error(frames):
    with pytest.raises(ImageDecodeError):
        list(decode_frames(written(ramp(), NumberOfFrames=frames)))


def test_nothing_of_the_patient_is_told(command, tmp_path, caplog):
    """Neither in records nor in the reasons, where pydicom would quote odd values."""
    folder = tmp_path / "study"
    folder.mkdir()
    good = written(ramp())
    odd = bytearray(good)
    (folder / "IM1").write_bytes(good)
    (folder / "IM2").write_bytes(good[: len(good) // 2])
    position = odd.find(b"\x28\x00\x10\x00US")
    odd[position + 4 : position + 6] = b"PN"
    (folder / "IM3").write_bytes(bytes(odd))
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG, "pydicom"):
        warnings.simplefilter("error")
        volumes = ("--volumes", tmp_path / "volumes")
        ended = command("infer", folder, "--format", "jsonl", "--no-reject", *volumes)
    records = [json.loads(line) for line in ended.out.splitlines()]
    assert [record["status"] for record in records] == ["ok", "error", "error"]
    told = ended.out + ended.err + caplog.text + (tmp_path / "volumes").read_text()
    for secret in ("Secret", "Name", "4711", "1999"):
        assert secret not in told


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "CT"}, "the header says modality CT"),
        ({"Modality": "nm "}, "the header says modality NM"),
        ({"Modality": "SEG"}, "the header says modality SEG"),
        ({"Modality": "\x1b[2J"}, "the header says modality 2J"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.1"}, "the header says that it holds CT"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}, "the header says that it holds ultra"),
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2"},
            "the header says that it holds radiotherapy",
        ),
        ({"BodyPartExamined": "ABDOMEN"}, "the header says body part ABDOMEN"),
        ({"BodyPartExamined": "C-SPINE"}, "the header says body part C SPINE"),
        ({"BodyPartExamined": "HEART"}, "the header says body part HEART"),
        ({"BodyPartExamined": "CARDIAC"}, "the header says body part CARDIAC"),
        ({"BodyPartExamined": "FOREARM"}, "the header says body part FOREARM"),
        ({"BodyPartExamined": "FEMORALHEAD"}, "the header says body part FEMORALHEAD"),
        ({"BodyPartExamined": "WHOLEBODY"}, "the header says body part WHOLEBODY"),
        ({"Modality": "MR", "BodyPartExamined": "KNEE"}, "the header says body part KNEE"),
    ],
)
def test_a_header_that_names_no_mr_of_a_head_is_told(elements, reason):
    (frame,) = decode_frames(written(ramp(), **elements))
    assert frame.foreign is not None
    assert frame.foreign.startswith(reason)


@pytest.mark.parametrize(
    "elements",
    [
        *({"Modality": name} for name in ("MR", "mr ", "", "OT", "SC")),
        *({"SOPClassUID": f"1.2.840.10008.5.1.4.1.1.{kind}"} for kind in ("4.1", "7", "7.3", "30")),
        *(
            {"BodyPartExamined": part}
            for part in (
                *("HEAD", "BRAIN", "SKULL", "HEADNECK", "HEAD^BRAIN", "IAC", "PITUITARY", "ORBIT"),
                *("", "brain", "NEURO", "Kopf", "SCHÄDEL", "CRÂNE", "ENCEFALO", "UNKNOWN", "EAR"),
            )
        ),
    ],
)
def test_a_header_that_names_one_or_nothing_counts_for_nothing(elements):
    (frame,) = decode_frames(written(ramp(), SpecificCharacterSet="ISO_IR 192", **elements))
    assert frame.foreign is None


def test_an_anatomic_region_counts_where_no_body_part_is_named():
    def region(meaning: str) -> Sequence:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "SCT", meaning
        return Sequence([code])

    shared, anatomy = Dataset(), Dataset()
    anatomy.AnatomicRegionSequence = region("Abdomen")
    shared.FrameAnatomySequence = Sequence([anatomy])
    (first,) = decode_frames(written(ramp(), AnatomicRegionSequence=region("Abdomen")))
    (second,) = decode_frames(written(ramp(), SharedFunctionalGroupsSequence=Sequence([shared])))
    (brain,) = decode_frames(written(ramp(), AnatomicRegionSequence=region("Brain")))
    assert first.foreign == second.foreign == "the header says body part ABDOMEN"
    assert brain.foreign is None


def test_a_foreign_header_is_a_record_with_its_reason_unless_pixels_are_trusted(command, tmp_path):
    """As users see it, in every format; the model's own answer stands beside it."""
    from edge_mri.classifier import Classifier
    from edge_mri.labels import Label
    from edge_mri.phantoms.phantom import draw_phantom

    pixels = draw_phantom(Label("glioma", "axial"), size_px=192).astype(np.uint16) * 16
    file = tmp_path / "head.dcm"
    file.write_bytes(written(pixels, Modality="CT"))
    reason = "the header says modality CT"

    def record(*options: object) -> dict:
        return json.loads(command("infer", file, "--format", "jsonl", *options).out)

    refused, trusted = record(), record("--trust-pixels")
    assert (refused["status"], refused["rejected"], refused["reason"]) == (
        *("rejected", "foreign", reason),
    )
    assert refused["box"] is None
    assert refused["type_probabilities"] == trusted["type_probabilities"]
    assert (trusted["status"], trusted["reason"]) == ("ok", None)
    assert record("--no-reject") == trusted
    assert command("infer", file).out.splitlines()[1].endswith(f"head.dcm: {reason}")
    assert reason in command("infer", file, "--format", "csv").out.splitlines()[1].split(",")
    page = tmp_path / "page.html"
    command("infer", file, "--report", page)
    assert f'"reason":"{reason}"' in page.read_text(encoding="utf-8")

    classifier = Classifier.load(device="cpu", trust_pixels=True)
    assert classifier.predict(file).reason is None
    assert pickle.loads(pickle.dumps(classifier)).predict(file).reason is None
    assert Classifier.load(device="cpu").predict(file).reason == reason


@pytest.mark.parametrize("skipped", [132, 132 + 12])  # the preamble, and the group's length
def test_a_file_without_preamble_is_read(skipped):
    whole = written(ramp())
    np.testing.assert_array_equal(only(whole[skipped:]), only(whole))


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("first", ["SOPClassUID", "SOPInstanceUID", "ImageType"])
def test_a_bare_data_set_is_read(implicit, first):
    header = pydicom.dcmread(BytesIO(written(ramp(), ImageType=["ORIGINAL", "PRIMARY"])))
    for name in ("ImageType", "SOPClassUID", "SOPInstanceUID"):
        if name == first:
            break
        delattr(header, name)
    data = BytesIO()
    pydicom.dcmwrite(
        data, Dataset(header), implicit_vr=implicit, little_endian=True, enforce_file_format=False
    )
    np.testing.assert_array_equal(only(data.getvalue()), only(written(ramp())))


TEXTS = {"DS": "RescaleSlope", "IS": "NumberOfFrames", "CS": "Modality", "UI": "SOPClassUID"}


@given(
    kind=st.sampled_from([*TEXTS, "US"]),
    data=st.one_of(
        st.text("0123456789+-.eE_ \\\\\0A", max_size=14).map(str.encode), st.binary(max_size=6)
    ),
)
def test_plain_values_are_those_that_pydicom_reads(kind, data):
    """To read them without pydicom is faster, and must not be another reading."""
    keyword = TEXTS.get(kind, "Rows")
    data += b" " * (len(data) % 2)
    tag = pydicom.tag.Tag(keyword)
    element = struct.pack("<HH", tag.group, tag.element) + kind.encode()
    file = element + struct.pack("<H", len(data)) + data
    ours, theirs = (
        outcome(lambda header=header, read=read: read(header))
        for header, read in (
            (parsed(file), lambda header: dicom_elements.value(header, keyword)),
            (parsed(file), lambda header: header[tag].value),
        )
    )
    assert ours == theirs


def parsed(data: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(data), force=True)


def outcome(read) -> object:
    """What comes out, so that numbers compare as numbers; or that nothing does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = read()
        except Exception:
            return "refused"
    if isinstance(value, pydicom.multival.MultiValue):
        return list(value)
    return value
