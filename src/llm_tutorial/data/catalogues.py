"""The packages whose gettext catalogues ``messages`` reads, with the hash of each file."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from llm_tutorial.fetch import Source


def _catalogues(folder: str, locale: str, files: Mapping[str, str]) -> dict[str, str]:
    """Files of a ``Source``: gettext catalogues, which lie in ``locale/…/LC_MESSAGES`` of each part of a package.

    Example:
        >>> _catalogues("django", "zh_Hans", {"conf/django.po": "…"})
        {'django/conf/locale/zh_Hans/LC_MESSAGES/django.po': '…'}
    """
    paths = {PurePosixPath(folder, name): hash_ for name, hash_ in files.items()}
    return {str(path.parent / "locale" / locale / "LC_MESSAGES" / path.name): hash_ for path, hash_ in paths.items()}


CATALOGUES = (
    Source(
        package="jupyterlab-language-pack-zh-CN",
        version="4.5.post3",
        files=_catalogues(
            "jupyterlab_language_pack_zh_CN",
            "zh_CN",
            {
                "dask_labextension.mo": "da552d33027f1c54754d4461b52b222ea993e5253b987c07e7e223ed49218a91",
                "jupyter_archive.mo": "ece4492e5ea49087de5d49f68d4d392152b99d3483dfa569e7bbece660a99f47",
                "jupyter_collaboration.mo": "d9201699c539a5b5d2a1425b81e9428242a13228b42874867f0b282d7de8479d",
                "jupyter_resource_usage.mo": "4239d1a11951300cadea76029e4bc6ab5d63eb45bfc0cb661c0084606bc33fae",
                "jupyterlab.mo": "2d10ab7ac4e81924310da031756b65c706e0b5f569c75ed1eb6d057838e92dc7",
                "jupyterlab_git.mo": "0a15ae99eb1ad1c6122b833d06282d299e362d443ab4128eff3eb75105c208b8",
                "jupyterlab_lsp.mo": "25b6fdc3eb85bd069f13ae45d0b1259c45b5a31969c7062ea7735ffadfd130d2",
                "jupyterlab_recents.mo": "228e2358baf7a2433fd286f1f6ad7c4275fc8b98dc8c1ecfa09f8223babf6521",
                "jupyterlab_search_replace.mo": "12a38a92536abf6bae8276b97c5d89de60e35510ceaedb3e677514d72d11b7a6",
                "jupyterlab_spreadsheet_editor.mo": "2aba7113cc9028cee6dc5f8a6f42380ae1e0998e58871acb324bee233eb4af88",
                "jupyterlab_tour.mo": "d3276f226f172ea05cacf7a86e18b7f34617ca3203f0d14d760e9393ecebffbc",
                "jupyterlab_widgets.mo": "4595f0bd372beffb8f72890e25bd8ffcbbe2dd17512696590c294e20122a7996",
                "jupytext.mo": "784465bb8e2966721d5873fa7927fde764bf3393107edf496e9acc910964fdb6",
                "nbdime.mo": "dcba1e758844a50afd39c5d888e42777b47782411a01fe677becf6f1d5bac0c8",
                "notebook.mo": "0398f67111d47f2d1ffb958b03f93c1399e56b1ce70e582cdac01eff3772686b",
                "retrolab.mo": "77a766620ad1962e4f53daec93e19915d4a41bae8d8d27a047bfc02925136369",
                "spellchecker.mo": "3b3ff518a9f4a619001433b384955d8143d69e31128bd5460b6089f605cc91ce",
            },
        ),
        licence="BSD-3-Clause",
        credit="Project Jupyter Contributors",
        size=224_581,
    ),
    Source(
        package="spyder",
        version="6.1.8",
        files=_catalogues(
            "spyder",
            "zh_CN",
            {
                "spyder.po": "3994f7a38f599f67d82b7c5f37b5fb2ead929feb949bb12f3910f975b652d7d6",
            },
        ),
        licence="MIT",
        credit="Spyder Project Contributors and translators",
        size=14_481_595,
    ),
    Source(
        package="wagtail",
        version="8.0.1",
        files=_catalogues(
            "wagtail",
            "zh_Hans",
            {
                "admin/django.po": "5b19059b272d380959170aa85ef5f561b2d80246b3316a132f4fbb055f39ae85",
                "admin/djangojs.po": "5cc7dc29918c676b7770ac6b83afea5ce787d9c81ef2dd84239f98eb72923ddc",
                "contrib/forms/django.po": "87cffc8d11c23f6498c4f077279174457abc10397c939d79ab7acfdd2576e10b",
                "contrib/redirects/django.po": "1792e7d7e971510f500905fd6b7047d1a9b6d894ed9d7af364fbc620aea04b22",
                "contrib/search_promotions/django.po": "59bf3cf953bc2a9f359ecd04a0a5f7f7bc18025d498ea9d4cc369c762195b08f",
                "contrib/settings/django.po": "7792b0b6447496629e38d07ab30ce519f98dce6644f0edc1c42312a1a022a5a8",
                "contrib/simple_translation/django.po": "a934a851ff660cece169e08ce0a6bfcb02173a33582cd219482e07860cab4ad6",
                "contrib/styleguide/django.po": "160b6ce189311a1aad270893a49334d3dcb2d453fa20976d1bd464cbbc691123",
                "contrib/table_block/django.po": "d4ee1faf7a9e3982237755144411ca45aadbb527d394678337f575053f1c50d6",
                "contrib/typed_table_block/django.po": "9ae456e29b8f772a15704dcf34c215cb01261c91c1fd8cc0205d4fda8b1607b1",
                "documents/django.po": "659f22378e6865217504061f519308cf8e9b99ef947862a21f50f8876bb64703",
                "embeds/django.po": "d199a5f81a9a50cb09c163c6a7be4ac4145099706977fb299856bb28d19236df",
                "images/django.po": "c6774537c51fa78fa581f3651b52ec5d917fc0cbf83cf5927b7f3a3b1334ba96",
                "django.po": "7f55633be7927e6a5f66acd27da7ecafa4a438687c9e9a858938e351d51cfb4f",
                "locales/django.po": "e50a042ffe52d3f50c2923066e328d4e3b0d1dc915c334e2783fcae95bf8037e",
                "search/django.po": "d4ba343b038b062be5238b228e1bd6016c6b4f315794b047c7995c3ce63658f0",
                "sites/django.po": "db83767c841dacd23c833b716f0785f34bd5a69596737991b30b0967d6503c30",
                "snippets/django.po": "99764c7e44faeb1867b0ca29045ce065e56504e8ff0090d1eaa8530db98fbd80",
                "users/django.po": "ed287cb998a8db7f50d4009813fae4e616432c578946cf8dd93eff48c19c9572",
            },
        ),
        licence="BSD-3-Clause",
        credit="Torchbox Ltd, Wagtail contributors and translators",
        size=9_841_588,
    ),
    Source(
        package="sphinx",
        version="9.0.4",
        files=_catalogues(
            "sphinx",
            "zh_CN",
            {
                "sphinx.po": "38b727d6acc8ed8499df17ca18854a3428d813883fdb8fc587f7ff06ed6779c1",
            },
        ),
        licence="BSD-2-Clause",
        credit="the Sphinx team and translators",
        size=3_917_713,
    ),
    Source(
        package="django",
        version="5.2.19",
        files=_catalogues(
            "django",
            "zh_Hans",
            {
                "conf/django.po": "85d45235fdbf08d61c6c88a5f4cbc3ed3b1a671bfdd2b649a2bea287900ce783",
                "contrib/admin/django.po": "d2b48743c8c9e4eba25f9ce007086cc12a8ce99f7434ee560126d99058d3372e",
                "contrib/admin/djangojs.po": "969243c73cdd9e01121735b7f009790db7d015f4e6339f46086a63f2ef5fe2b0",
                "contrib/admindocs/django.po": "4cd7491890808b43a28c137ac36dd2c0a89e66a36a92036ddaa7653df63eaf6d",
                "contrib/auth/django.po": "a8db12036596982f63ae0e8004bf63546deef79aaae33b6730be0dae1dc6ba0a",
                "contrib/contenttypes/django.po": "bd22890c443f00d4e3dfe5bc04525df6efd019d4cc175da24b5e6b5607ae8ceb",
                "contrib/flatpages/django.po": "9688bd46f3a7ae016ce2aa7c156e111a2b3bc200f30415eec216b9a457cb4716",
                "contrib/gis/django.po": "8d72902abdc63a32f92c9eccbf53b7ce99f686bfec03fdf5a2d7bc3f393db4e5",
                "contrib/humanize/django.po": "2467d1556ff952ac3223698afd644af310cfcf00403b6abf986b06cdff3d6bcf",
                "contrib/postgres/django.po": "ed8644f01d1cd47b8a5631b3ade63b8a2cae15ec8f82acca230cf17b960e29be",
                "contrib/redirects/django.po": "c5999fb82118c7ba2efeabedc41701972e66066912044867c74c6a263de7bccc",
                "contrib/sessions/django.po": "b4fb218178c4bfaa4c138374f36ced6a6261779c211c1dbf215fde81d3fe2e54",
                "contrib/sites/django.po": "c48fcdd34c6157c7560e9e1f8393268fd8af38105d1cfefd4f7f896173f27393",
            },
        ),
        licence="BSD-3-Clause",
        credit="Django Software Foundation, contributors and translators",
        size=8_319_631,
    ),
)
"""Packages whose gettext catalogues hold Chinese translations of their messages."""
