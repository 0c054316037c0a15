use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// A folder with four good files of 3 by 2 pixels.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (place, count) in [(0, 20), (2, 10)] {
        let bytes = (0..count * 6).map(|at| (at * 7 % 256) as u8).collect();
        let pixels = Pixels { rows: 3, columns: 2, bytes };
        let labels = Labels((0..count).map(|at| (at % 10) as u8).collect());
        fs::write(folder.path().join(FILES[place]), pixels.to_bytes()).unwrap();
        fs::write(folder.path().join(FILES[place + 1]), labels.to_bytes()).unwrap();
    }
    folder
}

fn why(folder: &Path) -> String {
    match find("test", "mine", folder) {
        Ok(_) => "nothing is wrong".to_owned(),
        Err(error) => error.to_string().replace(&folder.display().to_string(), "mine"),
    }
}

#[test]
fn files_are_found_packed_or_not_and_under_both_names() {
    let folder = folder();
    let path = folder.path().join(FILES[0]);
    let plain = fs::read(&path).unwrap();
    assert_eq!(find("test", "mine", folder.path()).unwrap().1, 6);
    fs::remove_file(&path).unwrap();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&plain).unwrap();
    let packed = packed.finish().unwrap();
    fs::write(folder.path().join("train-images.idx3-ubyte.gz"), &packed).unwrap();
    let (source, _) = find("test", "mine", folder.path()).unwrap();
    let [train, test] = read(&source.paths()).unwrap();
    assert_eq!((train.labels.0.len(), test.labels.0.len()), (20, 10));
    assert_eq!(train.pixels.to_bytes(), plain);
    fs::write(folder.path().join("train-images.idx3-ubyte.gz"), &packed[..packed.len() / 2])
        .unwrap();
    assert!(
        why(folder.path()).contains("`mine/train-images.idx3-ubyte.gz` cannot be read to its end")
    );
}

#[test]
fn what_is_wrong_with_a_file_is_named() {
    let wrong = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let folder = folder();
        let path = folder.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
        why(folder.path())
    };
    let (images, labels) = (FILES[0], FILES[1]);
    let set = |place: usize, value: u8| move |bytes: &mut Vec<u8>| bytes[place] = value;
    let found = [
        wrong(images, &set(3, 1)),
        wrong(images, &set(2, 9)),
        wrong(images, &|bytes| bytes.truncate(3)),
        wrong(images, &|bytes| bytes.truncate(9)),
        wrong(images, &|bytes| bytes.truncate(100)),
        wrong(images, &|bytes| bytes.push(0)),
        wrong(images, &set(7, 0)),
        wrong(images, &set(4, 255)),
        wrong(images, &set(11, 65)),
        wrong(images, &set(11, 0)),
        wrong(labels, &set(12, 10)),
        wrong(labels, &|bytes| {
            bytes[7] = 19;
            bytes.pop();
        }),
        wrong(FILES[2], &|bytes| {
            bytes[11] = 2;
            bytes[15] = 3;
        }),
    ];
    insta::assert_snapshot!(found.join("\n"), @r"
    `mine/train-images-idx3-ubyte` begins with 0x00000801, expected 0x00000803: it is no IDX file of images
    `mine/train-images-idx3-ubyte` begins with 0x00000903, expected 0x00000803: it is no IDX file of images
    `mine/train-images-idx3-ubyte` is 3 bytes long, too short for an IDX file
    `mine/train-images-idx3-ubyte` ends within its header; it is cut off
    `mine/train-images-idx3-ubyte` says 20 times 6 bytes, 120, but 84 follow: it is cut off
    `mine/train-images-idx3-ubyte` says 20 times 6 bytes, 120, but 121 follow: more follows than belongs to it
    `mine/train-images-idx3-ubyte` says it holds 0 images, expected 1 to 1000000
    `mine/train-images-idx3-ubyte` says it holds 4278190100 images, expected 1 to 1000000
    `mine/train-images-idx3-ubyte` says its images are 65 by 2, expected at most 64 by 64
    `mine/train-images-idx3-ubyte` says its images are 0 by 2, expected at most 64 by 64
    `mine/train-labels-idx1-ubyte` label 5 is 10, expected one of 10 classes from 0
    `mine/train-images-idx3-ubyte` holds 20 images, but there are 19 labels to them
    `mine/t10k-images-idx3-ubyte` holds images of 2 by 3, those to train with are 3 by 2
    ");
    let empty = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(why(empty.path()), @r#"recipe `test`: `images`: there is no `train-images-idx3-ubyte` or `train-images-idx3-ubyte.gz` in `mine`; expected the four IDX files of MNIST or Fashion-MNIST, packed or not (on Debian, `apt install dataset-fashion-mnist` and `images = "/usr/share/datasets/fashion-mnist"`), or `images = "generated"`"#);
}

/// Where Debian's package is, its images are known by their digest.
#[test]
fn fashion_mnist_is_known() {
    let folder = Path::new("/usr/share/datasets/fashion-mnist");
    if !folder.is_dir() {
        println!("not tested: Debian's package dataset-fashion-mnist is not installed");
        return;
    }
    let (source, pixels) = find("test", "fashion", folder).unwrap();
    let [train, test] = read(&source.paths()).unwrap();
    assert_eq!((pixels, train.labels.0.len(), test.labels.0.len()), (784, 60_000, 10_000));
    assert_eq!(name_of(&test).0, "Fashion-MNIST");
    assert_eq!(name_of(&train).0, "IDX files");
}
