"""The directory of what is served is believed only while nobody else can reach it."""

from pathlib import Path

import pytest

from customhouse.adapters.privatefiles import UnsafeKeyFile
from customhouse.adapters.views.files import FileViews


def test_a_directory_of_views_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "views"
    FileViews(path)
    assert path.stat().st_mode & 0o777 == 0o700
    assert FileViews(path).current() == ""


@pytest.mark.parametrize("mode", [0o710, 0o750, 0o770, 0o702, 0o777])
def test_a_directory_of_views_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "views"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(UnsafeKeyFile, match="chmod 700"):
        FileViews(path)


def test_a_link_in_the_place_of_a_directory_of_views_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(0o700)
    (tmp_path / "views").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeKeyFile, match="must be a directory"):
        FileViews(tmp_path / "views")
