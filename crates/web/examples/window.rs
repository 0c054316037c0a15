//! The window alone, without the rest of the program: `window WORKSPACE PORT`.
use std::sync::Arc;

use owlet_web::view::{Window, WindowSettings, serve};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let workspace = arguments.next().ok_or("which workspace?")?;
    let port: u16 = arguments.next().ok_or("which port?")?.parse()?;
    let settings = WindowSettings {
        workspace: workspace.clone().into(),
        version: "0".to_owned(),
        cores: 1,
        model_memory: 1 << 30,
        resume: None,
    };
    let window = Window::new(owlet_store::Store::open_existing(&workspace)?, settings)?;
    serve(Arc::new(window), port, |_| (), std::future::pending())?;
    Ok(())
}
