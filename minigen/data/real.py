"""Real images: handwritten digits (MNIST), and articles of clothing (Fashion-MNIST).

Files are downloaded once, into `data_folder()`: the folder that MINIGEN_DATA names, else the
user's cache. Where there is no net, put the four .gz files into mnist/ or fashion_mnist/ there.

Sources: LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition,
1998; Xiao, Rasul and Vollgraf, Fashion-MNIST, 2017, arXiv:1708.07747.
"""

import numpy as np

from .download import File, data_folder, fetch
from .idx import IdxError, read_idx

SPLITS = {"train": ("train", 60_000), "test": ("t10k", 10_000)}  # a file's first word, images

FASHION_CLASSES = ["T-shirt", "trouser", "pullover", "dress", "coat",
                   "sandal", "shirt", "sneaker", "bag", "ankle boot"]

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
FASHION_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)

# The SHA-256 of each file's decompressed content: mirrors compress it differently.
MNIST = {
    "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
# The SHA-256 of each .gz file itself, as loaders of this dataset publish it beside the MD5 of its
# README. All mirrors serve the same four files.
FASHION_MNIST = {
    "train-images": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def mnist(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits: images (n, 1, 28, 28), float32 in [0, 1], and labels (n,), int64.

    split: "train", n = 60,000, or "test", n = 10,000; else ValueError. Downloaded when first asked
    for, 12 MB; DownloadError says what went wrong and what to do.
    """
    return _load("mnist", split, MNIST, MNIST_MIRRORS, of_content=True)


def fashion_mnist(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Articles of clothing, white on black, in all else like `mnist`; 31 MB.

    The labels count in FASHION_CLASSES.
    """
    return _load("fashion_mnist", split, FASHION_MNIST, FASHION_MIRRORS, of_content=False)


def _load(dataset: str, split: str, files: dict[str, str], mirrors: tuple[str, ...],
          of_content: bool) -> tuple[np.ndarray, np.ndarray]:
    if split not in SPLITS:
        raise ValueError(f"{dataset}: split is {split!r}, expected one of {list(SPLITS)}")
    word, count = SPLITS[split]
    arrays = []
    for part, shape in [("images", (count, 28, 28)), ("labels", (count,))]:
        name = f"{word}-{part}-idx{len(shape)}-ubyte.gz"
        file = File(name, mirrors, files[f"{word}-{part}"], of_content)
        array = read_idx(fetch(file, data_folder() / dataset), name)
        if array.shape != shape:
            raise IdxError(f"{dataset}, {name}: has shape {array.shape}, expected {shape}")
        arrays.append(array)
    images, labels = arrays
    return images[:, None] / np.float32(255), labels.astype(np.int64)
