# The face of the library: read by lazy_loader when it runs, and by mypy and editors instead of __init__.py.

from .errors import InputError as InputError
from .evaluation.evaluate import evaluate as evaluate
from .evaluation.score import score as score
from .imaging.resize import imresize as imresize
from .inference.choice import choose_weights as choose_weights
from .inference.upscale import upscale as upscale
from .inference.upscale import upscale_file as upscale_file
from .models.checkpoint import load as load
from .models.vdsr import VDSR as VDSR
from .protocol import get_protocol as get_protocol
from .training.pairs import Pairs as Pairs
from .training.recipes import get_recipe as get_recipe
from .training.trainer import Options as Options
from .training.trainer import train as train
from .training.validation import Validation as Validation
from .utils.logs import print_log as print_log

__version__: str
