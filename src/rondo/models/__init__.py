"""Networks."""

from rondo.models.averaged import AveragedClassifier
from rondo.models.checkpoint import Checkpoint, load_checkpoint
from rondo.models.cnn import cnn_1, cnn_2
from rondo.models.fcnn import FullyConnected, fcnn_1, fcnn_2, fcnn_3
from rondo.models.lecture_rnn1 import LectureRNN1, lecture_rnn1
from rondo.models.multiplications import count_multiplications
from rondo.models.resnet import ResNet, resnet_18, resnet_50
from rondo.models.sweep_net import SweptConvolution, sweep_net
from rondo.models.transfer import TransferNetwork, tl_1, tl_2, tl_3

__all__ = [
    "AveragedClassifier",
    "Checkpoint",
    "FullyConnected",
    "LectureRNN1",
    "ResNet",
    "SweptConvolution",
    "TransferNetwork",
    "cnn_1",
    "cnn_2",
    "count_multiplications",
    "fcnn_1",
    "fcnn_2",
    "fcnn_3",
    "lecture_rnn1",
    "load_checkpoint",
    "resnet_18",
    "resnet_50",
    "sweep_net",
    "tl_1",
    "tl_2",
    "tl_3",
]
